"""What is measured: techniques on nano, and Textual Inversion at SD 1's proportions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

import sdtune
from sdtune.techniques.base import DiffusionFineTuningModule
from tests.benchmarks.bare_loops import BareLoop, PlainTextualInversion
from tests.benchmarks.paired import PairedTimer

__all__ = ["TECHNIQUES", "Technique", "measure_overhead", "measure_textual_inversion"]

DATASETS = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class Technique:
    """A technique as its recipe for nano has it.

    Attributes:
        module: Its class.
        arguments: Of the module.
        data: Of the data module.
    """

    module: Callable[..., DiffusionFineTuningModule]
    arguments: Mapping[str, Any]
    data: Mapping[str, Any]

    def make(self, **changes: Any) -> DiffusionFineTuningModule:
        """Make the module.

        Args:
            **changes: Other arguments.
        """
        return self.module(**{**self.arguments, **changes})


_SUBJECT = {"instance_dir": DATASETS / "subject_cat", "repeats": 100}

TECHNIQUES = {
    "style_lora": Technique(
        sdtune.LoRAStyleModule,
        {"rank": 32, "target_modules": "attention+feed_forward"},
        {"folder": DATASETS / "style_openmoji", "batch_size": 8},
    ),
    "textual_inversion": Technique(
        sdtune.TextualInversionModule,
        {"placeholder_token": "<erica>", "initializer_token": "cat", "num_vectors": 4},
        {**_SUBJECT, "caption_replacements": {"cat": "<erica>"}, "batch_size": 8},
    ),
    "dreambooth": Technique(
        sdtune.DreamBoothModule,
        {
            "target_modules": "attention+feed_forward",
            "text_encoder_learning_rate": 1e-4,
            "class_inference_steps": 1,
        },
        {
            **_SUBJECT,
            "caption_replacements": {"cat": "erica cat"},
            "class_prompt": "a cat face",
            "class_count": 8,
            "batch_size": 4,
        },
    ),
    "pivotal_tuning": Technique(
        sdtune.PivotalTuningModule,
        {"placeholder_token": "<erica>", "initializer_token": "cat", "num_vectors": 2},
        {**_SUBJECT, "caption_replacements": {"cat": "<erica>"}, "batch_size": 8},
    ),
}


def measure_overhead(technique: Technique, folder: Path, rounds: int = 7) -> PairedTimer:
    """Train on nano as a recipe does, beside a bare loop.

    Args:
        technique: What to train.
        folder: Where curves, class pictures and latents go.
        rounds: See `PairedTimer`.

    Returns:
        The timer, with a loop `bare`.
    """
    timer = PairedTimer({"bare": lambda: BareLoop(technique.make())}, rounds)
    _train(technique.make(), technique.data, timer, folder)
    return timer


def measure_textual_inversion(base: str, folder: Path, rounds: int = 5) -> PairedTimer:
    """Train a word on a base, one picture a step, beside a bare loop and what other trainers do.

    Args:
        base: `nano` or a folder.
        folder: Where curves and latents go.
        rounds: See `PairedTimer`.

    Returns:
        The timer, with the loops `bare`, `encoding` (which encodes picture and prompt at every
        step) and `plain` (which also trains the whole table).
    """
    arguments = {"placeholder_token": "<erica>", "initializer_token": "c", "base": base}

    def make() -> DiffusionFineTuningModule:
        return sdtune.TextualInversionModule(**arguments)

    timer = PairedTimer(
        {
            "bare": lambda: BareLoop(make()),
            "encoding": lambda: PlainTextualInversion(base, keeps_table=False),
            "plain": lambda: PlainTextualInversion(base),
        },
        rounds,
        steps_per_round=1,
    )
    data = {**_SUBJECT, "instance_prompt": "<erica>", "prompt_templates": "object"}
    _train(make(), data, timer, folder)
    return timer


def _train(
    module: DiffusionFineTuningModule, data: Mapping[str, Any], timer: PairedTimer, folder: Path
) -> None:
    is_style = "folder" in data
    make_data = sdtune.StyleDataModule if is_style else sdtune.SubjectDataModule
    trainer = pl.Trainer(
        max_steps=timer.max_steps,
        accelerator="cpu",
        logger=TensorBoardLogger(folder / "runs"),
        log_every_n_steps=10,
        callbacks=[timer],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    trainer.fit(module, make_data(**data, cache_dir=folder / "cache"))
