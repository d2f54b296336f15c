"""Parts of recipes in files of their own: the whole is what the parser makes of the files."""

import json
from pathlib import Path

import pytest
import yaml
from jsonargparse.typing import Path_fr

from sdtune.commands.recipe_cli import built_recipe
from sdtune.comparison.whole_recipe import whole_recipe, whole_words, with_whole_paths

MODEL = {"class_path": "sdtune.LoRAStyleModule", "init_args": {"base": "nano", "rank": 2}}
DATA = {"class_path": "sdtune.StyleDataModule", "init_args": {"folder": "pictures"}}
LOSSES = {"class_path": "sdtune.PictureLosses"}


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A folder of parts below the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = Path("parts")
    folder.mkdir()
    written = {"m": MODEL, "one": LOSSES, "all": [LOSSES, "sdtune.Progress"], "t": {"max_steps": 3}}
    written["deep"] = {"max_steps": 3, "callbacks": "all.yaml"}
    for name, content in written.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def parsed(recipe, folder, words=()):
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    cli, problems = built_recipe([f"--config={path}", *words], build=False)
    assert problems == []
    return yaml.safe_load(cli.parser.dump(cli.config))


@pytest.mark.parametrize(
    "trainer",
    ["t.yaml", "deep.yaml", {"callbacks": "all.yaml"}, {"callbacks": ["one.yaml"]}],
)
def test_a_whole_recipe_is_what_its_parts_are(parts, trainer):
    named = {"seed": 3, "model": "m.yaml", "data": DATA, "trainer": trainer}
    whole = whole_recipe(named, parts)
    assert whole["model"] == MODEL
    assert ".yaml" not in json.dumps(whole)
    assert parsed(whole, Path()) == parsed(named, parts)
    assert whole_recipe(whole, parts) == whole


def test_words_are_made_whole_too(parts):
    words = ["--model=parts/m.yaml", "--trainer.callbacks+=parts/one.yaml", "--seed=3"]
    whole = whole_words(words)
    assert whole == [
        f"--model={json.dumps(MODEL)}",
        f"--trainer.callbacks+={json.dumps(LOSSES)}",
        "--seed=3",
    ]
    recipe = {"model": MODEL, "data": DATA, "trainer": {"callbacks": ["sdtune.Progress"]}}
    assert parsed(recipe, Path(), whole) == parsed(recipe, Path(), words)


def test_what_names_no_part_stays(parts):
    Path("attention").touch()
    Path("ddp").write_text("a text\n", encoding="utf-8")
    Path("prompts.yaml").write_text("[a, b]\n", encoding="utf-8")
    arguments = {"target_modules": "attention", "prompts": "prompts.yaml", "x": "y" * 5000}
    model = {"class_path": "a.B", "init_args": arguments}
    recipe = {"model": model, "trainer": {"strategy": "ddp", "callbacks": None}, "seed": "ddp"}
    assert whole_recipe(recipe, Path()) == recipe
    words = ["--data.folder=attention", "--trainer.strategy=ddp", "--model.rank", "8"]
    assert whole_words(words) == words


def test_a_path_that_is_read_from_the_recipes_folder_is_whole(parts):
    recipe = {"model": {"init_args": {"file": "m.yaml", "rank": 4}}, "list": ["m.yaml", "x"]}
    path = Path_fr("m.yaml", cwd=str(parts.resolve()))
    read = {"model": {"init_args": {"file": path, "rank": 4}}, "list": [path, "x"]}
    found = with_whole_paths(recipe, read)
    whole = str(parts.resolve() / "m.yaml")
    assert found == {
        "model": {"init_args": {"file": whole, "rank": 4}},
        "list": [whole, "x"],
    }
    assert with_whole_paths(recipe, {}) == recipe
