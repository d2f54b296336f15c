from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.cli import main
from sdtune.commands.recipe_cli import RecipeCLI
from sdtune.estimation.memory import MemoryCount

_RECIPE = str(Path(__file__).parents[2] / "recipes" / "style_lora.yaml")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Expected a recipe"),
        ([_RECIPE, "--data.batch_size=-4"], f"`sdtune check {_RECIPE}` with the same options"),
        ([_RECIPE, "--model.rank", "0"], "Expected `rank` to be a positive integer, but got 0"),
        ([_RECIPE, "--gpu"], "Expected `--gpu` to be followed by a size"),
        ([_RECIPE, "--gpu", "much"], "Expected `--gpu` to be a size such as 12GB, but got `much`"),
        (
            [_RECIPE, "--time", "--model.base", "someone/model"],
            "`model.base` to be at hand for `--time`, which takes true steps, but someone/model",
        ),
        ([_RECIPE, "--resume", "last", "--time"], "Expected no `resume` with `--time`"),
    ],
)
def test_a_wrong_call_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["estimate", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["textual_inversion", "multi_concept"])
def test_words_that_are_made_of_the_subjects_nouns_are_counted(
    recipe: str, micro_sd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--model.base", str(micro_sd), "--data.resolution", "64"]
    assert main(["estimate", recipe, *base, "--data.batch_size", "1"]) == 0
    assert capsys.readouterr().out.startswith("as it is: 1.2 GB: weights 0.00, what learns 0.00")


@pytest.mark.slow
def test_a_recipe_is_counted(micro_sd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = ["--model.base", str(micro_sd), "--data.resolution", "64"]
    assert main(["estimate", _RECIPE, *base, "--gpu", "24GB"]) == 0
    line, verdict = capsys.readouterr().out.splitlines()
    assert line.startswith("as it is: 0.9 GB: weights 0.00, what learns 0.00")
    assert verdict == "It fits into 24GB."


@pytest.mark.parametrize(
    ("gpu", "code", "settings", "verdict"),
    [
        ("5.4GB", 0, [], "It fits into 5.4GB."),
        ("4.3GB", 0, ["trainer.precision bf16-mixed"], "With these it fits into 4.3GB."),
        (
            "100MB",
            1,
            ["trainer.precision bf16-mixed", "model.gradient_checkpointing true"],
            "Nothing of this fits into 100MB",
        ),
    ],
)
def test_what_does_not_fit_is_made_smaller(
    gpu: str,
    code: int,
    settings: list[str],
    verdict: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sdtune.estimation.memory.count_memory", _count)
    assert main(["estimate", _RECIPE, "--gpu", gpu]) == code
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("as it is: 5.3 GB: weights 1.00")
    said = [line.partition(":")[0].removeprefix("--") for line in lines[2:-1]]
    assert said[: len(settings)] == settings
    assert len(said) == len(settings) or code == 1
    assert lines[-1].startswith(verdict)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "as it is: 5.3 GB"),
        (["--model.cuda_graphs", "false"], "as it is: 5.0 GB"),
        (["--model.dropout", "0.1"], "as it is: 5.0 GB"),  # is not recorded
        (["--model.text_encoder_learning_rate", "1e-4"], "as it is: 5.6 GB"),
    ],
)
def test_what_a_gpu_records_is_added(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sdtune.estimation.memory.count_memory", _count)
    assert main(["estimate", _RECIPE, *words]) == 0
    assert capsys.readouterr().out.startswith(said)


def test_proposals_are_counted_with_what_they_accumulate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[object, object]] = []

    def count(*_: object, **given: object) -> MemoryCount:
        asked.append((given["batch_size"], given["accumulated"]))
        more = 10**9 if given["accumulated"] != 1 else 0
        return MemoryCount(10**9, 0, 0, step=10**9 + more, flops=10**12)

    monkeypatch.setattr("sdtune.estimation.memory.count_memory", count)
    words = ["--data.batch_size", "4", "--trainer.accumulate_grad_batches", "3"]
    assert main(["estimate", _RECIPE, *words, "--gpu", "1GB"]) == 1
    assert {(4, 3), (2, 6), (1, 12)} <= set(asked)
    assert capsys.readouterr().out.splitlines()[0].endswith("1.00 TFLOP a batch")


def _count(*_: object, dtype: torch.dtype, **__: object) -> MemoryCount:
    step = 3e9 if dtype == torch.float32 else 2e9
    return MemoryCount(weights=10**9, adapter=0, optimizer=0, step=int(step), flops=10**12)


def test_a_base_that_is_not_at_hand_is_counted_by_its_architecture(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    count = MemoryCount(weights=10**9, adapter=0, optimizer=0, step=10**9, flops=10**12)
    monkeypatch.setattr("sdtune.estimation.memory.count_memory", lambda *_, **__: count)
    assert main(["estimate", "sd14/style_lora", "--gpu", "12GB"]) == 0
    first, line, verdict = capsys.readouterr().out.splitlines()
    assert first == "CompVis/stable-diffusion-v1-4 is not at hand: counted as stable_diffusion_1."
    assert line.startswith("as it is: 3.4 GB: weights 1.00")
    assert verdict == "It fits into 12GB."


def test_a_base_that_is_no_id_and_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["estimate", "style_lora", "--model.base", "nonesuch"]) == 2
    assert "Expected `base` to be `nano`, a folder" in capsys.readouterr().err


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
