"""How many optimizer steps a run takes."""

from __future__ import annotations

import math

import lightning.pytorch as pl
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.trainer.states import TrainerFn

__all__ = ["is_endless", "may_train", "total_steps"]


def is_endless(trainer: pl.Trainer) -> bool:
    """Tell whether a run is told no number of steps or epochs; the data are not asked.

    Args:
        trainer: The trainer.
    """
    return trainer.max_steps == -1 and trainer.max_epochs in (None, -1)


def may_train(trainer: pl.Trainer) -> bool:
    """Tell whether a Trainer trains, or was not told yet what to do; else it validates or tests.

    Args:
        trainer: The trainer.
    """
    return trainer.state.fn in (None, TrainerFn.FITTING)


def total_steps(trainer: pl.Trainer) -> int | None:
    """Count the optimizer steps that a run takes unless something stops it before.

    Args:
        trainer: The trainer, with the data at hand. `max_time` and callbacks such as EarlyStopping
            may stop it before.

    Returns:
        The steps of the whole run, those before a resume included; None if it never ends.
    """
    estimated = trainer.estimated_stepping_batches  # loads the data
    total = None if estimated in (-1, math.inf) else int(estimated)
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    schedules = [
        each
        for each in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(each, GradientAccumulationScheduler)
    ]
    if not schedules or epochs in (None, -1) or math.isinf(batches):
        return total
    # the estimate takes what is accumulated first for what is accumulated always
    factors = (schedules[0].get_accumulate_grad_batches(epoch) for epoch in range(epochs or 0))
    steps = sum(math.ceil(batches / factor) for factor in factors)
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)
