"""The arguments of optimization, checked before a model is loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

import lightning.pytorch as pl

from sdtune._checks import check_all, check_not_negative
from sdtune._run_steps import is_endless, total_steps
from sdtune.techniques.optimization.averaged_weights import second_average_problems
from sdtune.techniques.optimization.lr_schedules import (
    LRScheduleName,
    check_lr_schedule,
    endless_problems,
)
from sdtune.techniques.optimization.optimizers import (
    OptimizerName,
    averages_weights,
    check_optimizer,
)

__all__ = ["check_optimization_arguments", "optimization_problems", "tell_short_run"]

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


def optimization_problems(
    optimizer: OptimizerName, lr_schedule: LRScheduleName, trainer: pl.Trainer
) -> list[str]:
    """List what of a Trainer does not fit the optimization; the data are not asked.

    Args:
        optimizer: Name of the optimizer.
        lr_schedule: Name of the schedule.
        trainer: The Trainer.

    Returns:
        One sentence each.
    """
    problems = second_average_problems(trainer) if averages_weights(optimizer) else []
    return problems + (endless_problems(lr_schedule) if is_endless(trainer) else [])


def tell_short_run(warmup_steps: int, trainer: pl.Trainer) -> None:
    """Tell of a warm-up that is as long as the run.

    It is not refused: a trial of two steps is one as well.

    Args:
        warmup_steps: Steps on which the rate rises.
        trainer: The trainer, with the data at hand.
    """
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
