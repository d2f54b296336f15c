import sys

import pytest

from sdtune.commands import trust
from sdtune.commands.errors import CallError
from sdtune.commands.recipe_cli import recipe_problems

SENTENCE = (
    "Expected `{}` to name something of lightning, sdtune, torch or torchmetrics, but got `{}`, "
    "which is other people's code: if you know it, give `--trust {}`."
)


@pytest.fixture(autouse=True)
def _toys_are_trusted(monkeypatch):
    """Trust what users' machines trust, and a module that has not been imported."""
    monkeypatch.undo()


@pytest.fixture
def payload(tmp_path, monkeypatch):
    """A module that tells when it has run."""
    (tmp_path / "payload.py").write_text(
        "from lightning.pytorch import Callback\n"
        "open('has_run', 'w').close()\n"
        "class Harmless(Callback): pass\n"
        "def call(*_): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    yield tmp_path / "has_run"
    sys.modules.pop("payload", None)


PLACES = {
    "trainer.callbacks": "trainer: {callbacks: [{class_path: payload.Harmless}]}",
    "trainer.callbacks by name": "trainer: {callbacks: [payload.Harmless]}",
    "trainer.logger": "trainer: {logger: {class_path: payload.Harmless}}",
    "model": "model: {class_path: payload.Harmless}",
    "model by name": "model: payload.Harmless",
    "data": "data: {class_path: payload.Harmless, init_args: {folder: x}}",
    "trainer.callbacks.LambdaCallback.setup": "trainer: {callbacks: [{class_path: LambdaCallback, "
    "init_args: {setup: payload.call}}]}",
    "trainer.plugins": "trainer: {plugins: [{class_path: payload.Harmless}]}",
    "trainer.strategy": "trainer: {strategy: {class_path: payload.Harmless}}",
    "imports of a trusted module": "trainer: {callbacks: [sdtune.commands.fit.os.system]}",
}


@pytest.mark.parametrize("recipe", PLACES.values(), ids=PLACES)
def test_a_recipe_runs_nobody_elses_code(recipe, payload):
    (payload.parent / "recipe.yaml").write_text(recipe)
    problems = recipe_problems(["--config", "recipe.yaml"], build=False)
    assert problems
    assert not payload.exists()
    assert "payload" not in sys.modules


def test_the_sentence_says_what_to_type_and_then_it_is_imported(payload):
    (payload.parent / "recipe.yaml").write_text(PLACES["trainer.callbacks"])
    sentence = SENTENCE.format("trainer.callbacks", "payload.Harmless", "payload")
    assert sentence in recipe_problems(["--config", "recipe.yaml"], build=False)
    told = recipe_problems(["--config", "recipe.yaml", "--trust=payload"], build=False)
    assert not any("payload" in each for each in told)
    assert payload.exists()
    # for that call alone
    assert sentence in recipe_problems(["--config", "recipe.yaml"], build=False)


def test_a_recipe_cannot_trust_by_itself(payload):
    (payload.parent / "recipe.yaml").write_text(PLACES["trainer.callbacks"] + "\ntrust: payload")
    problems = recipe_problems(["--config", "recipe.yaml"], build=False)
    assert any("known key, but got `trust`" in each for each in problems)
    assert not payload.exists()


def test_the_words_are_taken_out_of_the_call():
    words = ["--trust", "mine.models", "--seed=1", "--trust=yours"]
    assert trust.split_trust(words) == (["--seed=1"], ["mine.models", "yours"])
    assert trust.is_trusted("ModelCheckpoint")
    assert trust.is_trusted("sdtune.SampleGrid")
    assert not trust.is_trusted("sdtune_evil.SampleGrid")


@pytest.mark.parametrize(
    "words", [["--trust"], ["--trust="], ["--trust", "a/b.py"], ["--trust", "a..b"]]
)
def test_what_is_no_module_is_refused(words):
    with pytest.raises(CallError, match="Expected `--trust` to name a module"):
        trust.split_trust(words)
    for name in ("nowhere", "json.nowhere", "json.decoder.nowhere"):
        with pytest.raises(CallError, match=f"that Python finds, but there is no `{name}`"):
            trust.trust([name])
    with pytest.raises(CallError, match="another module than `jsonargparse`"):
        trust.trust(["jsonargparse.typing"])
