from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.cli import main
from sdtune.commands.recipe_cli import RecipeCLI

_RECIPE = str(Path(__file__).parents[2] / "recipes" / "style_lora.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Expected a recipe"),
        ([_RECIPE, "--gpu"], "Expected `--gpu` to be followed by a size"),
        ([_RECIPE, "--gpu", "much"], "Expected `--gpu` to be a size such as 12GB, but got `much`"),
    ],
)
def test_a_wrong_call_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_what_does_not_fit_is_made_smaller(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["estimate", _RECIPE, "--data.batch_size", "16"]
    assert main([*words, "--gpu", "24GB"]) == 0
    assert "It fits into 24GB." in capsys.readouterr().out
    assert main([*words, "--gpu=100MB"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("It does not fit")
    assert lines[2].startswith("--trainer.precision bf16-mixed: ")
    assert lines[-1].startswith("Nothing of this fits")


def test_memory_that_is_used_up_is_told_with_what_is_smaller(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(Path(_RECIPE).parents[1] / "datasets" / "style_openmoji")
    cli = RecipeCLI(["--config", _RECIPE, "--data.folder", folder])

    def fit(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(cli.trainer, "fit", fit)
    with pytest.raises(ValueError, match="memory is used up") as caught:
        cli.fit()
    assert "--model.gradient_checkpointing true" in str(caught.value)
    assert "`--resume` goes on from the last" in str(caught.value)
