"""A whole UNet that is split over two processes by FSDP, on the CPU: `tests.split_model`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from sdtune.adapters.whole_unet import TunedUNet
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.techniques.dreambooth import DreamBoothModule
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.split_model import CPUFSDPStrategy, in_processes
from tests.techniques.every_technique import data_for

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")


@pytest.mark.slow
def test_a_split_unet_learns_what_a_whole_one_does_and_is_saved_and_resumed_whole(
    micro_sd, tmp_path
):
    pictures = make_picture_folder(tmp_path / "pictures", 4)
    start = _module(micro_sd)
    start.load_base()
    whole = _learned(_train(micro_sd, pictures, tmp_path / "whole", 4, batch_size=2))
    split = tmp_path / "split"

    def begin(steps: int, checkpoint: Path | None = None) -> None:
        _train(
            micro_sd,
            pictures,
            split,
            steps,
            checkpoint,
            batch_size=1,
            devices=2,
            strategy=CPUFSDPStrategy(),
        )

    in_processes(2, lambda: begin(3))
    last = split / "run" / "checkpoints" / "last.ckpt"
    assert _learned(last).keys() == whole.keys()
    in_processes(2, lambda: begin(4, last))
    # an optimizer's state that is another element's would show here
    found, first = _learned(last), start.state_dict()
    moved = max(float((whole[name] - first[name]).abs().max()) for name in whole)
    apart = max(float((whole[name] - found[name]).abs().max()) for name in whole)
    assert moved > 1e-3
    assert apart < 1e-4 * moved
    learned = DreamBoothModule.load_from_checkpoint(last, weights_only=True).adapter()
    [adapter] = learned.adapters
    assert isinstance(adapter, TunedUNet)
    assert learned.save(tmp_path / "unet").exists()
    assert all(
        torch.equal(adapter.weights[name.removeprefix("model.unet.")], value)
        for name, value in found.items()
    )


def _module(base: Path) -> DreamBoothModule:
    return DreamBoothModule(
        str(base),
        full_finetune=True,
        learning_rate=1e-2,
        optimizer="sgd_nesterov",
        prior_loss_weight=0,
    )


def _train(
    base: Path,
    pictures: Path,
    folder: Path,
    steps: int,
    checkpoint: Path | None = None,
    batch_size: int = 1,
    **several: Any,
) -> Path:
    """Train and return the last checkpoint."""
    module = _module(base)
    data = data_for(module, pictures, batch_size=batch_size, cache_dir=folder / "cache")
    quiet_trainer(
        max_steps=steps,
        max_epochs=-1,
        callbacks=[ResumeCheckpoint()],
        enable_checkpointing=True,
        logger=CSVLogger(folder, "run", ""),
        num_sanity_val_steps=0,
        **several,
    ).fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return folder / "run" / "checkpoints" / "last.ckpt"


def _learned(checkpoint: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return state
