"""A technique whose passes are recorded learns what it learns without."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback

import sdtune.models.recorded_passes
from sdtune.models.forward_graphs import ForwardGraphs
from sdtune.models.step_graphs import StepGraphs
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.fast_part import some_fast
from tests.pass_recorder import ForwardRecorder, PassRecorder
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.every_technique import LYCORIS, TECHNIQUES, data_for

_STEPS = 6
_ALL = {**TECHNIQUES, **LYCORIS}
# what learns in these learns in the others too, and is recorded as there
_LEFT_OUT = ("lora", "pivotal_tuning", "multi_concept_lora")
_NAMES = [name for name in _ALL if name not in _LEFT_OUT]


class _Losses(Callback):
    def __init__(self) -> None:
        self.values: list[float] = []
        self.recorded = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *rest: Any) -> None:
        self.values.append(float(outputs["loss"]))
        self.recorded = len(pl_module.model.passes.of_unet._recordings)


@pytest.mark.parametrize("name", some_fast(_NAMES, ("lora_text_encoder", "textual_inversion")))
def test_recorded_passes_learn_the_same(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    exact, learned = _train(name, micro_sd, tmp_path)
    recorder = PassRecorder()
    monkeypatch.setattr(sdtune.models.recorded_passes, "StepGraphs", lambda: StepGraphs(recorder))
    found, also_learned = _train(name, micro_sd, tmp_path)
    assert found.values == exact.values
    torch.testing.assert_close(also_learned, learned, rtol=0, atol=0)
    if name in ("dropout", "dreambooth_full"):
        assert recorder.replays == 0
    else:
        assert found.recorded >= 1
        assert recorder.replays >= _STEPS - 3  # one shape is computed first, others too


def test_nothing_is_recorded_where_it_is_switched_off(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = PassRecorder()
    monkeypatch.setattr(sdtune.models.recorded_passes, "StepGraphs", lambda: StepGraphs(recorder))
    _train("lora", micro_sd, tmp_path, cuda_graphs=False)
    assert recorder.replays == 0


@pytest.mark.slow
def test_a_quantised_base_is_recorded_too(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact, learned = _train("lora", micro_sd, tmp_path, quantization="nf4")
    recorder = PassRecorder()
    monkeypatch.setattr(sdtune.models.recorded_passes, "StepGraphs", lambda: StepGraphs(recorder))
    found, also_learned = _train("lora", micro_sd, tmp_path, quantization="nf4")
    assert found.values == exact.values
    torch.testing.assert_close(also_learned, learned, rtol=0, atol=0)
    assert recorder.replays >= _STEPS - 3


@pytest.mark.parametrize("learns_text", some_fast([False, True], [False]))
def test_what_the_base_predicts_beside_is_recorded_too(
    micro_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, learns_text: bool
) -> None:
    """And is the base's, whatever the adapter has learned by then."""
    arguments = {"keep_content_above": 0.3}
    if learns_text:
        arguments["text_encoder_learning_rate"] = 1e-2
    kept = {"kept": lambda base: LoRAStyleModule(base, rank=4, learning_rate=1e-2, **arguments)}
    monkeypatch.setattr(sys.modules[__name__], "_ALL", kept)
    exact, learned = _train("kept", micro_sd, tmp_path)
    recorder, of_base = PassRecorder(), ForwardRecorder()
    monkeypatch.setattr(sdtune.models.recorded_passes, "StepGraphs", lambda: StepGraphs(recorder))
    monkeypatch.setattr(
        sdtune.models.recorded_passes, "ForwardGraphs", lambda: ForwardGraphs(of_base)
    )
    found, also_learned = _train("kept", micro_sd, tmp_path)
    assert found.values == exact.values
    torch.testing.assert_close(also_learned, learned, rtol=0, atol=0)
    assert recorder.replays >= _STEPS - 3
    assert of_base.replays >= (3 if learns_text else 2)


def _train(name: str, base: Path, folder: Path, **attributes: Any) -> tuple[_Losses, Any]:
    torch.manual_seed(0)
    module = _ALL[name](str(base))
    for key, value in attributes.items():
        setattr(module, key, value)
    if not (folder / "pictures").is_dir():
        make_picture_folder(folder / "pictures", count=4)
    losses = _Losses()
    trainer = quiet_trainer(max_steps=_STEPS, callbacks=[losses], accumulate_grad_batches=1)
    trainer.fit(module, data_for(module, folder / "pictures", batch_size=2))
    return losses, {key: value.clone() for key, value in module.named_parameters()}
