"""How many optimizer steps a run takes."""

from __future__ import annotations

import math

import lightning.pytorch as pl
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.trainer.states import TrainerFn

__all__ = [
    "accumulated_batches",
    "accumulation_schedule",
    "is_endless",
    "may_train",
    "total_steps",
]


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


def accumulation_schedule(trainer: pl.Trainer) -> GradientAccumulationScheduler | None:
    """Find the callback that sets over how many batches an epoch's gradients are summed.

    Args:
        trainer: The trainer.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    found = (each for each in callbacks if isinstance(each, GradientAccumulationScheduler))
    return next(found, None)


def accumulated_batches(trainer: pl.Trainer, epoch: int) -> int:
    """Tell over how many batches gradients are summed, also where an epoch is resumed inside.

    A schedule acts when an epoch starts; until then the Trainer knows nothing of it.

    Args:
        trainer: The trainer.
        epoch: Of the batches.
    """
    schedule = accumulation_schedule(trainer)
    if schedule is None:
        return trainer.accumulate_grad_batches
    return int(schedule.get_accumulate_grad_batches(epoch))


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
    schedule = accumulation_schedule(trainer)
    if schedule is None or epochs in (None, -1) or math.isinf(batches):
        return total
    # the estimate takes what is accumulated first for what is accumulated always
    factors = (schedule.get_accumulate_grad_batches(epoch) for epoch in range(epochs or 0))
    steps = sum(math.ceil(batches / factor) for factor in factors)
    return steps if trainer.max_steps == -1 else min(steps, trainer.max_steps)
