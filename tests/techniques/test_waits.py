"""A step queues its work on the device, and waits for nothing but what is logged."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from sdtune.callbacks.progress import Progress
from sdtune.data.style import StyleDataModule
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.device_traffic import DeviceTraffic
from tests.fast_part import some_fast
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.every_technique import TECHNIQUES

# what a step does in these it does in the others too
_LEFT_OUT = ("pivotal_tuning", "multi_concept_lora")
_NAMES = [name for name in TECHNIQUES if name not in _LEFT_OUT]
_CAPTIONS = ["a <disc> in red", "a <disc> in blue"]


@pytest.mark.parametrize("name", some_fast(_NAMES, ("lora", "dreambooth")))
def test_a_step_copies_little_and_waits_for_nothing(micro_sd: Path, name: str) -> None:
    module = TECHNIQUES[name](str(micro_sd))
    module.min_snr_gamma, module.noise_offset = 5.0, 0.1
    module.load_base()
    if not module.encodes_prompts_every_step:
        module._prompts.remember(_CAPTIONS, module.encode)
    module.to("meta")  # in the place of a GPU
    batch = _batch(module)
    _losses(module, batch).backward()  # what is kept on the device goes there once

    with DeviceTraffic() as traffic:
        _losses(module, batch).backward()
    assert traffic.waits == []
    assert traffic.copies <= 7
    assert traffic.operations > 500


def test_what_waits_is_found() -> None:
    value = torch.ones(3)
    with DeviceTraffic() as traffic:
        there = value.to("meta")
        there[torch.tensor([0, 1])]
        value.to("meta", non_blocking=True)
        value.sum().item()
    assert traffic.copies == 2
    assert traffic.copied_bytes == 24
    assert traffic.waits == [
        "_to_copy of (3,)",
        "index by an index on the CPU",
        "_local_scalar_dense",
    ]


@pytest.mark.parametrize("optimizer", ["adamw", "adafactor_relative_step"])
def test_values_are_read_when_they_are_logged(
    micro_sd: Path, tmp_path: Path, optimizer: Any
) -> None:
    folder = make_picture_folder(tmp_path / "pictures", count=6)
    waits = _WaitsByStep()
    module = LoRAStyleModule(str(micro_sd), rank=2, optimizer=optimizer)
    bar = Progress(seconds_between_lines=1e6)
    trainer = quiet_trainer(
        max_steps=6,
        log_every_n_steps=3,
        callbacks=[waits, bar],
        enable_progress_bar=True,
        gradient_clip_val=None if optimizer.startswith("adafactor") else 1.0,
    )
    with waits.traffic:
        trainer.fit(module, StyleDataModule(folder, resolution=64, batch_size=1))
    assert waits.found[3], "the step that is logged reads its values"
    assert waits.found[2] == waits.found[4] == waits.found[5] == []


class _WaitsByStep(pl.Callback):
    """Sorts the waits by the step at which they happen."""

    def __init__(self) -> None:
        self.traffic = DeviceTraffic()
        self.found: dict[int, list[str]] = defaultdict(list)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.traffic.waits = self.found[trainer.global_step + 1]

    def on_train_epoch_end(self, *_: Any) -> None:
        self.traffic.waits = []


def _batch(module: DiffusionFineTuningModule) -> dict[str, Any]:
    batch: dict[str, Any] = {
        "moments": torch.empty(2, 8, 8, 8, device="meta"),
        "loss_weights": torch.ones(2, 1, 8, 8, device="meta"),
        "caption": _CAPTIONS,
        "index": [0, 1],
    }
    if module.prior:
        batch |= {f"class_{key}": value for key, value in batch.items()}
    return batch


def _losses(module: DiffusionFineTuningModule, batch: dict[str, Any]) -> torch.Tensor:
    joined = module.prior.joined(batch) if module.prior else batch
    return module.training_losses(joined)[0].mean()
