"""The arguments of optimization, checked before a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import lightning.pytorch as pl
from torch.optim import Optimizer

from sdtune._checks import check_all, check_not_negative
from sdtune.techniques.optimization.averaged_weights import refuse_second_average
from sdtune.techniques.optimization.lr_schedules import check_lr_schedule
from sdtune.techniques.optimization.optimizers import check_optimizer
from sdtune.techniques.optimization.steps import total_steps

__all__ = ["check_optimization_arguments", "check_with_trainer"]

log = logging.getLogger(__name__)


def check_optimization_arguments(
    optimizer: str,
    lr_schedule: str,
    learning_rates: Mapping[str, float | None],
    weight_decay: float,
    warmup_steps: int,
) -> None:
    """Check the arguments of `build_optimizer` and `build_lr_scheduler` before a model is loaded.

    Args:
        optimizer: Name of the optimizer.
        lr_schedule: Name of the schedule.
        learning_rates: Rates by the name of the argument that holds them; None is "not trained".
        weight_decay: Decoupled weight decay.
        warmup_steps: Steps on which the rate rises.

    Raises:
        ValueError: If one is out of its range, with the allowed values, the optimizer's package is
            not installed, or the optimizer cannot do with the schedule.
    """
    check_all(
        lambda: check_optimizer(optimizer, lr_schedule, warmup_steps),
        lambda: check_lr_schedule(lr_schedule),
        *(partial(_check_learning_rate, *each) for each in learning_rates.items()),
        lambda: check_not_negative("weight_decay", weight_decay),
        lambda: check_not_negative("warmup_steps", warmup_steps),
    )


def check_with_trainer(optimizer: Optimizer, warmup_steps: int, trainer: pl.Trainer) -> None:
    """Compare what optimization is to be with the Trainer, before the first step.

    A warm-up as long as the run is told and not refused: a trial of two steps is one as well.

    Args:
        optimizer: The run's optimizer.
        warmup_steps: Steps on which the rate rises.
        trainer: The trainer, with the data at hand.

    Raises:
        ValueError: If a callback averages what the optimizer averages.
    """
    refuse_second_average(optimizer, trainer)
    steps = total_steps(trainer)
    if steps is not None and 0 < steps <= warmup_steps and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        log.warning(
            "The run has %d optimizer steps and `warmup_steps` is %d: the full learning rate is "
            "never reached.",
            steps,
            warmup_steps,
        )


def _check_learning_rate(name: str, rate: float | None) -> None:
    if rate is not None and not 0 < rate < float("inf"):
        raise ValueError(f"Expected `{name}` to be a positive number, but got {rate}.")
