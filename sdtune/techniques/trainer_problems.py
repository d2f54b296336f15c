"""Options of the Trainer that a technique cannot be trained with, in sentences."""

from __future__ import annotations

from collections.abc import Iterable

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    BatchSizeFinder,
    LearningRateFinder,
    ModelPruning,
    StochasticWeightAveraging,
)
from lightning.pytorch.strategies import ModelParallelStrategy

from sdtune._run_steps import may_train
from sdtune.techniques.learned import Learned
from sdtune.techniques.optimization.late_averages import late_average_problems

__all__ = ["BASE_DTYPES", "finder_problems", "trainer_notes", "trainer_problems"]

BASE_DTYPES = {
    "32-true": torch.float32,
    "32": torch.float32,
    "16-mixed": torch.float16,
    "bf16-mixed": torch.bfloat16,
}
"""Precision of the Trainer -> floating type of what does not learn."""

_TOO_EARLY: dict[type[pl.Callback], str] = {
    StochasticWeightAveraging: "take EMAWeightAveraging, or WeightAveraging for a plain mean",
    BaseFinetuning: "what learns, and how fast, is named by the arguments of `model`",
    ModelPruning: "a smaller `model.rank` makes a smaller adapter",
}
"""Callbacks that look at the module in `setup`, before `configure_model` -> what to do."""


def trainer_problems(trainer: pl.Trainer) -> list[str]:
    """List what keeps any technique from being trained by a Trainer.

    Args:
        trainer: The Trainer.

    Returns:
        One sentence each.
    """
    problems = []
    if str(trainer.precision) not in BASE_DTYPES:
        allowed = ", ".join(f"`{name}`" for name in BASE_DTYPES if name != "32")
        problems.append(
            f"Expected `trainer.precision` to be one of {allowed}, which keep the adapter in "
            f"float32, but got `{trainer.precision}`."
        )
    if trainer.accumulate_grad_batches < 1:
        problems.append(
            "Expected `trainer.accumulate_grad_batches` to be a positive integer, but got "
            f"{trainer.accumulate_grad_batches}."
        )
    if isinstance(trainer.strategy, ModelParallelStrategy):
        problems.append(
            "Expected `trainer.strategy` to be `ddp`, or `fsdp` on GPUs, but got "
            "ModelParallelStrategy, which splits what a module splits by itself and adds up no "
            "gradients of the rest: no technique splits anything."
        )
    problems += late_average_problems(trainer) if may_train(trainer) else []
    for each in _callbacks(trainer):
        for kind, way_out in _TOO_EARLY.items():
            if isinstance(each, kind):
                problems.append(
                    f"Expected `trainer.callbacks` to hold no {type(each).__name__}, which looks "
                    f"for layers before the model is built: {way_out}."
                )
    return problems


def finder_problems(trainer: pl.Trainer) -> list[str]:
    """List callbacks that train before class pictures are drawn.

    Args:
        trainer: The Trainer.

    Returns:
        One sentence each.
    """
    return [
        f"Expected `trainer.callbacks` to hold no {type(each).__name__} beside class pictures, "
        "which are drawn after it has trained: find the value with `model.prior_loss_weight` 0."
        for each in _callbacks(trainer)
        if isinstance(each, BatchSizeFinder | LearningRateFinder)
    ]


def trainer_notes(trainer: pl.Trainer, learns: Iterable[Learned]) -> list[str]:
    """Say what several processes do not do as one with larger batches does.

    Args:
        trainer: The Trainer.
        learns: What learns.

    Returns:
        One sentence each.
    """
    processes = trainer.num_devices * trainer.num_nodes
    if processes == 1 or not any(each.drops_inputs for each in learns):
        return []
    return [
        f"Of `model.dropout` {processes} processes draw another mask than one would: it is drawn "
        "for each one's batch. All else of a step is the same."
    ]


def _callbacks(trainer: pl.Trainer) -> list[pl.Callback]:
    return list(trainer.callbacks)  # type: ignore[attr-defined]
