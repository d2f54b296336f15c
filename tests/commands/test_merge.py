from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.adapters.pipeline import load_pipeline
from sdtune.cli import main
from sdtune.techniques.multi_concept import MultiConceptModule


@pytest.fixture
def folders(micro_sd: Path, tmp_path: Path) -> list[Path]:
    """Two runs' folders with adapters that have not learned anything yet."""
    for word in ("one", "two"):
        module = MultiConceptModule([f"<{word}>"], ["c"], str(micro_sd), prior_loss_weight=0)
        module.load_base()
        module.adapter().save(tmp_path / word / "adapter")
    return [tmp_path / "one", tmp_path / "two"]


@pytest.mark.slow
def test_two_runs_become_one_adapter(folders, micro_sd, tmp_path, capsys) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("a cat on a mat\n\na dog\n")
    words = [str(each) for each in (*folders, "--output", tmp_path / "both", "--base", micro_sd)]
    assert main(["merge", *words, "--texts", str(texts)]) == 0
    assert "<one> <two>" in capsys.readouterr().out
    vocabulary = load_pipeline(micro_sd, tmp_path / "both").tokenizer.get_vocab()
    assert {"<one>", "<two>"} <= vocabulary.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cat", "dog"], "Expected `--output` to be given"),
        (["nowhere", "nothing", "--output", "both"], "Expected an adapter at nowhere"),
    ],
)
def test_a_wrong_call_is_one_sentence(arguments, message, capsys) -> None:
    assert main(["merge", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
