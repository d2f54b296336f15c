"""Callbacks that would begin to average the weights when training is over."""

from __future__ import annotations

import math

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EMAWeightAveraging

from sdtune._run_steps import accumulation_schedule

__all__ = ["late_average_problems"]


def late_average_problems(trainer: pl.Trainer, steps: int | None = None) -> list[str]:
    """List callbacks that average nothing in all of a run.

    Args:
        trainer: The trainer.
        steps: Optimizer steps of the run; None for what the Trainer is told, which may be none.

    Returns:
        One sentence each.
    """
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    averaging = [each for each in callbacks if isinstance(each, EMAWeightAveraging)]
    # a subclass may ask something else than these arguments
    plain = [e for e in averaging if type(e).should_update is EMAWeightAveraging.should_update]
    if not plain or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return []  # a trial is of few steps, and writes nothing
    if steps is None and trainer.max_steps >= 0:
        steps = trainer.max_steps
    epochs = _epochs(trainer, steps)
    return [
        f"Expected {type(each).__name__} in `trainer.callbacks` to average something in the run's "
        f"{_length(steps, epochs)}, but with {_starts(each)} it averages nothing: let it begin "
        "earlier, or leave it out."
        for each in plain
        if not _begins_by_steps(each, steps) and not _begins_by_epochs(each, epochs)
    ]


def _begins_by_steps(averaging: EMAWeightAveraging, steps: int | None) -> bool:
    every, start = averaging.update_every_n_steps, averaging.update_starting_at_step or 0
    if every <= 0:
        return False
    return steps is None or math.ceil(start / every) * every < steps  # steps are counted from 0


def _begins_by_epochs(averaging: EMAWeightAveraging, epochs: int | None) -> bool:
    start = averaging.update_starting_at_epoch
    return start is not None and (epochs is None or start < epochs)


def _epochs(trainer: pl.Trainer, steps: int | None) -> int | None:
    """Count the epochs that a run begins; None if that is not known."""
    batches, most = trainer.num_training_batches, trainer.max_epochs
    known = [most] if most is not None and most >= 0 else []
    is_scheduled = accumulation_schedule(trainer) is not None
    # before the data are at hand, they are of infinitely many batches
    if steps is not None and 0 < batches < math.inf and not is_scheduled:
        known.append(math.ceil(steps / math.ceil(batches / trainer.accumulate_grad_batches)))
    return min(known, default=None)


def _length(steps: int | None, epochs: int | None) -> str:
    counts = [(steps, "steps"), (epochs, "epochs")]
    return " and ".join(f"{count} {unit}" for count, unit in counts if count is not None)


def _starts(averaging: EMAWeightAveraging) -> str:
    names = ("update_starting_at_step", "update_every_n_steps", "update_starting_at_epoch")
    given = [(name, getattr(averaging, name)) for name in names]
    return ", ".join(f"`{name}` {value}" for name, value in given if value is not None)
