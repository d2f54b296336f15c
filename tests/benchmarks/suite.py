"""What is measured: techniques on nano, and Textual Inversion at SD 1's proportions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loggers import TensorBoardLogger

import sdtune
from sdtune.bench.bare_loop import BareLoop
from sdtune.bench.paired_timer import Loop, PairedTimer
from sdtune.bench.reference_loop import ReferenceLoop
from sdtune.techniques.base import DiffusionFineTuningModule

__all__ = ["TECHNIQUES", "Technique", "measure_overhead", "measure_textual_inversion"]

DATASETS = Path(__file__).parents[2] / "datasets"


@dataclass(frozen=True)
class Technique:
    """A technique as its recipe for nano has it.

    Attributes:
        module: Its class.
        arguments: Of the module.
        data_module: Class of the data module.
        data: Of the data module.
    """

    module: Callable[..., DiffusionFineTuningModule]
    arguments: Mapping[str, Any]
    data_module: Callable[..., pl.LightningDataModule]
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
        sdtune.StyleDataModule,
        {"folder": DATASETS / "style_openmoji", "batch_size": 8},
    ),
    "textual_inversion": Technique(
        sdtune.TextualInversionModule,
        {"placeholder_token": "<erica>", "initializer_token": "cat", "num_vectors": 4},
        sdtune.SubjectDataModule,
        {**_SUBJECT, "caption_replacements": {"cat": "<erica>"}, "batch_size": 8},
    ),
    "dreambooth": Technique(
        sdtune.DreamBoothModule,
        {
            "target_modules": "attention+feed_forward",
            "text_encoder_learning_rate": 1e-4,
            "class_inference_steps": 1,
        },
        sdtune.SubjectDataModule,
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
        sdtune.SubjectDataModule,
        {**_SUBJECT, "caption_replacements": {"cat": "<erica>"}, "batch_size": 8},
    ),
    "multi_concept": Technique(
        sdtune.MultiConceptModule,
        {
            "placeholder_tokens": ["<erica>", "<hazel>"],
            "initializer_tokens": ["cat", "rabbit"],
            "num_vectors": 2,
            "class_inference_steps": 1,
        },
        sdtune.ConceptsDataModule,
        {
            "concepts": [
                sdtune.Concept(
                    DATASETS / f"subject_{name}",
                    caption_replacements={name: word},
                    class_prompt=f"a {name} face",
                    class_count=4,
                    repeats=100,
                )
                for name, word in (("cat", "<erica>"), ("rabbit", "<hazel>"))
            ],
            "batch_size": 4,
        },
    ),
}


def measure_overhead(
    technique: Technique, folder: Path, rounds: int = 7, steps_per_round: int = 2
) -> PairedTimer:
    """Train on nano as a recipe does, beside a bare loop.

    Args:
        technique: What to train.
        folder: Where curves, class pictures and latents go.
        rounds: See `PairedTimer`.
        steps_per_round: Likewise.

    Returns:
        The timer, with a loop `bare`.
    """
    loops = {"bare": lambda _: BareLoop(technique.make())}
    timer = PairedTimer(loops, rounds, steps_per_round)
    data = technique.data_module(**technique.data, cache_dir=folder / "cache")
    _train(technique.make(), data, timer, folder)
    return timer


def measure_textual_inversion(
    base: str, folder: Path, rounds: int = 5, beside: Collection[str] = ("bare", "plain")
) -> PairedTimer:
    """Train a word on a base, one picture a step, beside a bare loop and what other trainers do.

    Args:
        base: `nano` or a folder.
        folder: Where curves and latents go.
        rounds: See `PairedTimer`.
        beside: Which loops there are: `bare`, and `plain`, which encodes picture and prompt at
            every step, and trains the whole table.

    Returns:
        The timer, with these loops.
    """
    arguments = {"placeholder_token": "<erica>", "initializer_token": "c", "base": base}

    def make() -> DiffusionFineTuningModule:
        return sdtune.TextualInversionModule(**arguments)

    loops: dict[str, Callable[[Any], Loop]] = {
        "bare": lambda _: BareLoop(make()),
        "plain": lambda own: ReferenceLoop(own, "32-true", own.model.resolution),
    }
    timer = PairedTimer({name: loops[name] for name in beside}, rounds, steps_per_round=1)
    words = {"instance_prompt": "<erica>", "prompt_templates": "object"}
    data = sdtune.SubjectDataModule(**_SUBJECT, **words, cache_dir=folder / "cache")
    _train(make(), data, timer, folder)
    return timer


def _train(
    module: DiffusionFineTuningModule,
    data: pl.LightningDataModule,
    timer: PairedTimer,
    folder: Path,
) -> None:
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
    trainer.fit(module, data)
