from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sdtune.evaluation.circumstances import precision_now, quantized_parts
from sdtune.evaluation.trained_base import TrainedBase
from sdtune.run_folder.terms import EvaluationSettings

_SAYS_NOTHING = EvaluationSettings(["a"], [0], [], 1, 1.0, "", "nano", None)
_CPU = torch.device("cpu")
_RECIPE = """
model: {init_args: {quantization: int8, text_encoder_learning_rate: 1.0e-4}}
trainer: {precision: bf16-mixed}
"""


@pytest.mark.parametrize("quantization", ["none", "int8:unet", "int8:unet+text_encoders"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_base_is_as_the_record_says(micro_sd: Path, quantization: str, precision: str) -> None:
    recorded = replace(_SAYS_NOTHING, precision=precision, quantization=quantization)
    trained = TrainedBase(str(micro_sd), None, [], recorded)
    trained.check()
    model = trained.load(_CPU)
    assert model.dtype == getattr(torch, precision)
    with trained.computing(_CPU):
        assert (precision_now(model), quantized_parts(model)) == (precision, quantization)


def test_what_the_record_does_not_say_the_recipe_does(micro_sd: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(_RECIPE)
    trained = TrainedBase(str(micro_sd), tmp_path, [], _SAYS_NOTHING)
    assert (trained.precision, trained.quantization) == ("bfloat16", "int8:unet+text_encoders")
    alone = TrainedBase(str(micro_sd), tmp_path / ".." / "elsewhere", [], _SAYS_NOTHING)
    assert (alone.precision, alone.quantization) == ("float32", "none")


def test_autocast_counts_where_the_weights_are_float32(micro_sd: Path) -> None:
    model = TrainedBase(str(micro_sd), None, [], _SAYS_NOTHING).load(_CPU)
    with torch.autocast("cpu", torch.bfloat16):
        assert precision_now(model) == "bfloat16"
    assert precision_now(model) == "float32"
