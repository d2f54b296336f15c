"""What is trained and killed by `tests.kill_soak`: techniques, optimizers, data, processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, LearningRateMonitor
from lightning.pytorch.loggers import TensorBoardLogger

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.sample_grid import SampleGrid
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
from sdtune.run_folder.checkpoints import find_checkpoint
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.lora_style import LoRAStyleModule
from sdtune.techniques.textual_inversion import TextualInversionModule

__all__ = ["CASES", "STEPS", "Case", "train"]

STEPS = 8


@dataclass(frozen=True)
class Case:
    """What is trained.

    Args:
        module: Makes the technique, from the base's folder.
        subject: Whether the data are of a subject, with class pictures to be drawn.
        data: Arguments of the data module.
        trainer: Arguments of the Trainer.
        averages: Whether an average of what learns is kept.
    """

    module: Callable[[str], pl.LightningModule]
    subject: bool = False
    data: dict[str, Any] = field(default_factory=dict)
    trainer: dict[str, Any] = field(default_factory=dict)
    averages: bool = False


def _lora(base: str, **arguments: Any) -> pl.LightningModule:
    return LoRAStyleModule(base, rank=2, **{"learning_rate": 1e-2, **arguments})


CASES: dict[str, Case] = {
    "lora": Case(_lora),
    "lora, prodigy, cosine, validation in the epoch": Case(
        partial(
            _lora, optimizer="prodigy", learning_rate=1.0, lr_schedule="cosine", warmup_steps=2
        ),
        trainer={"val_check_interval": 1},
    ),
    "lora, dropout, accumulation": Case(
        partial(_lora, dropout=0.3), trainer={"accumulate_grad_batches": 2}
    ),
    "lora, 8 bits, average, workers, random crops": Case(
        partial(_lora, optimizer="adamw8bit"),
        data={"num_workers": 1, "crop": "random"},
        averages=True,
    ),
    "words": Case(
        lambda base: TextualInversionModule("<disc>", "c", base, learning_rate=1e-2),
        data={"trigger": "<disc>"},
    ),
    "lora, two processes": Case(
        _lora, data={"batch_size": 1}, trainer={"devices": 2, "strategy": "ddp_fork"}
    ),
    "dreambooth, class pictures, schedule-free, text encoder": Case(
        lambda base: DreamBoothModule(
            base,
            rank=2,
            learning_rate=1e-2,
            class_inference_steps=1,
            optimizer="adamw_schedule_free",
            text_encoder_learning_rate=1e-3,
        ),
        subject=True,
    ),
    "dreambooth, whole unet": Case(
        lambda base: DreamBoothModule(
            base, full_finetune=True, learning_rate=1e-3, prior_loss_weight=0
        ),
        subject=True,
        data={"class_prompt": None},
    ),
}


def train(case: Case, base: Path, pictures: Path, run: Path) -> None:
    """Train, from the newest good checkpoint on if there is one.

    Args:
        case: What is trained.
        base: Folder of a model.
        pictures: Folder of pictures.
        run: Folder for the run folder, `run`, and the cache.
    """
    torch.set_num_threads(1)
    # it reads what was written, takes most of the time, and is no part of what is resumed
    AdapterSet.verify = lambda *_: 0.0  # type: ignore[method-assign]
    arguments = {"resolution": 64, "batch_size": 2, "cache_dir": run / "cache", **case.data}
    data: pl.LightningDataModule
    if case.subject:
        prompts = {"instance_prompt": "an erica disc", "class_prompt": "a disc", "class_count": 3}
        data = SubjectDataModule(pictures, **{**prompts, **arguments})
    else:
        data = StyleDataModule(pictures, validation_count=1, **arguments)
    checkpoint, _ = find_checkpoint(run / "run" / "checkpoints")
    callbacks: list[pl.Callback] = [
        SampleGrid(["a red disc"], every_n_steps=4, num_inference_steps=1),
        AdapterCheckpoint(every_n_steps=3),
        ResumeCheckpoint(every_n_steps=2),
        LearningRateMonitor(),
    ]
    callbacks += [EMAWeightAveraging(decay=0.9)] if case.averages else []
    trainer = pl.Trainer(
        **{"max_steps": STEPS, "log_every_n_steps": 1, **case.trainer},
        accelerator="cpu",
        callbacks=callbacks,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        logger=TensorBoardLogger(run, "run", "", default_hp_metric=False),
    )
    trainer.fit(case.module(str(base)), data, ckpt_path=checkpoint, weights_only=True)
