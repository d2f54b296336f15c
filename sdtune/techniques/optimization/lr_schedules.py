"""Learning-rate schedules by name: a rise, then what the name says, and never a second rise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BatchSizeFinder
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sdtune._checks import ArgumentsError
from sdtune._run_steps import total_steps

__all__ = [
    "LRScheduleName",
    "RateSchedule",
    "begin_schedules",
    "build_lr_scheduler",
    "check_lr_schedule",
    "endless_problems",
    "rate_factor",
]

LRScheduleName = Literal["constant", "linear", "cosine"]
"""Every schedule, by the name that a recipe gives: what follows the warm-up.

- `constant`: the full rate.
- `linear`: from the full rate down to 0 at the run's end.
- `cosine`: the same along half a cosine.
"""

# from the steps since the warm-up, and how many there are up to the end; None needs no end
_FALLS: dict[str, Callable[[int, int], float] | None] = {
    "constant": None,
    "linear": lambda done, steps: (steps - done) / steps,
    "cosine": lambda done, steps: 0.5 * (1.0 + math.cos(math.pi * (done / steps))),
}


def check_lr_schedule(name: str) -> None:
    """Check that a schedule exists.

    Args:
        name: Its name.

    Raises:
        ValueError: If it does not.
    """
    if name not in _FALLS:
        names = ", ".join(f"`{each}`" for each in _FALLS)
        raise ValueError(f"Expected `lr_schedule` to be one of {names}, but got `{name}`.")


def rate_factor(name: LRScheduleName, step: int, warmup_steps: int, max_steps: int | None) -> float:
    """Compute what an optimizer step's rate is, as a share of the full one.

    Args:
        name: Which schedule.
        step: Optimizer steps taken before.
        warmup_steps: Optimizer steps of the linear rise, which begins at 0.
        max_steps: Optimizer steps of the run; None if it never ends.

    Returns:
        In [0, 1].
    """
    if step < warmup_steps:
        return step / warmup_steps
    fall = _FALLS[name]
    if fall is None or max_steps is None:
        return 1.0
    if step >= max_steps:
        return 0.0
    return fall(step - warmup_steps, max_steps - warmup_steps)


def build_lr_scheduler(
    name: LRScheduleName, optimizer: Optimizer, warmup_steps: int, max_steps: int | None
) -> RateSchedule:
    """Build a learning-rate schedule: a linear rise, then what its name says.

    Args:
        name: Which one, see `LRScheduleName`.
        optimizer: Whose rates are scaled.
        warmup_steps: Optimizer steps of the rise; 0 starts at the full rate.
        max_steps: Optimizer steps of the run; None if it never ends.

    Returns:
        The schedule, to be stepped after every optimizer step.

    Raises:
        ArgumentsError: If the schedule falls to an end that the run does not have.
    """
    if max_steps is None and (problems := endless_problems(name)):
        raise ArgumentsError(problems)
    return RateSchedule(optimizer, name, warmup_steps, max_steps)


def endless_problems(name: LRScheduleName) -> list[str]:
    """Say what keeps a schedule from being that of a run without an end.

    Args:
        name: Which one.

    Returns:
        A sentence, or nothing if the schedule has no end itself.
    """
    if _FALLS[name] is None:
        return []
    return [
        f"Expected `trainer.max_steps` or `trainer.max_epochs` to say where `lr_schedule` "
        f"`{name}` ends: give one, or choose `constant`."
    ]


class RateSchedule(LRScheduler):
    """Scales each group's rate by `rate_factor`, and after a resume by no more than before it.

    A run that is resumed may be longer than it was. Then its schedule at that step is above the
    rate that it has come down to. The rate is held there until the longer schedule has come down
    to it as well. A shorter one goes on along the shorter schedule. Learning rates, warm-up and
    schedule are those of the recipe that the run is resumed with. What changes is said.

    Args:
        optimizer: Whose rates are scaled.
        name: Which schedule.
        warmup_steps: Optimizer steps of the rise.
        max_steps: Optimizer steps of the run; None if it never ends.
    """

    def __init__(
        self, optimizer: Optimizer, name: LRScheduleName, warmup_steps: int, max_steps: int | None
    ) -> None:
        self.name = name
        self.warmup_steps = warmup_steps
        self.max_steps = max_steps
        self.ceiling = 1.0
        self.share = 1.0  # of the recipe's rates, after `halve`
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:  # type: ignore[override]
        """Return each group's rate at the present step."""
        factor = self._factor(self.last_epoch) * self.share
        return [float(rate) * factor for rate in self.base_lrs]

    def halve(self) -> None:
        """Go on with half the rates, also when the run is resumed."""
        self.share /= 2
        rates = self.get_lr()
        self._last_lr = list(rates)
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate

    def begin_from(self, base_lrs: list[float], max_steps: int | None) -> None:
        """Scale other rates, up to another end, before the first step.

        Args:
            base_lrs: The full rate of each group.
            max_steps: Optimizer steps of the run; None if it never ends.
        """
        self.max_steps = max_steps
        self.base_lrs = list(base_lrs)
        rates = self.get_lr()
        self._last_lr = list(rates)
        for group, rate, base in zip(self.optimizer.param_groups, rates, base_lrs, strict=True):
            group["lr"], group["initial_lr"] = rate, base

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a step, by the recipe of now.

        Args:
            state_dict: Of this class, or of torch's LambdaLR.

        Raises:
            ValueError: If the schedule has come down to 0 and steps are to follow.
        """
        step = self.last_epoch = int(state_dict["last_epoch"])
        self._step_count = state_dict["_step_count"]
        # the rates of the step that training would have gone on with
        before = [float(rate) for rate in state_dict["_last_lr"]]
        self.share = float(state_dict.get("share", 1.0))
        full = float(state_dict["base_lrs"][0]) * self.share
        self._limit(step, before[0] / full, state_dict)
        rates = self.get_lr()
        self._last_lr = list(rates)
        for group, rate, base in zip(
            self.optimizer.param_groups, rates, self.base_lrs, strict=True
        ):
            group["lr"], group["initial_lr"] = rate, base
        end = state_dict.get("max_steps", self.max_steps)
        if rates != before or (end != self.max_steps and _FALLS[self.name] is not None):
            rank_zero_info(self._story(step, end, before, rates))

    def _factor(self, step: int) -> float:
        factor = rate_factor(self.name, step, self.warmup_steps, self.max_steps)
        return factor if step < self.warmup_steps else min(self.ceiling, factor)

    def _limit(self, step: int, reached: float, state_dict: dict[str, Any]) -> None:
        """Find the share of the full rate above which it may not be any more."""
        self.ceiling = 1.0
        same = state_dict.get("name", self.name) == self.name
        if not same or step < state_dict.get("warmup_steps", self.warmup_steps):
            return  # another schedule was asked for, or the rate has not fallen yet
        self.ceiling = float(state_dict.get("ceiling", 1.0))
        # a quotient: equal rates may differ in their last bit
        if self._factor(step) > reached * (1 + 1e-9):
            self.ceiling = reached
        if self.ceiling == 0 and self.max_steps is not None and step < self.max_steps:
            raise ValueError(
                f"The run's `lr_schedule` `{self.name}` came down to 0 at its end, step {step}: "
                f"steps up to {self.max_steps} would learn nothing. Give `model.lr_schedule` "
                "`constant` and a `model.learning_rate` to go on at, or start anew with more "
                "steps."
            )

    def _story(self, step: int, end: int | None, before: list[float], after: list[float]) -> str:
        """Word what a resumed run's rates are from now on."""
        words = [", ".join(f"{rate:.3g}" for rate in rates) for rates in (before, after)]
        story = f"Learning rate from step {step} on: {words[1]} (before: {words[0]})"
        if self.max_steps is None or _FALLS[self.name] is None:
            return f"{story}, `constant`."
        if self.max_steps != end:
            story += f"; the run ends at step {self.max_steps} instead of {end}"
        steps = range(step, self.max_steps + 1)
        falls = next((each for each in steps if self._factor(each) < self.ceiling), step)
        held = f"stays there until step {falls} and then " if falls > step + 1 else ""
        return f"{story}; it {held}falls along `{self.name}` to 0 at step {self.max_steps}."


def begin_schedules(trainer: pl.Trainer, groups: Sequence[Mapping[str, Any]]) -> None:
    """Let schedules scale the rates of now, up to the end that the run has now.

    Lightning's LearningRateFinder may have set other rates, and its BatchSizeFinder another size
    of batches, of which an epoch has another number.

    Args:
        trainer: The trainer, before its first step and before a checkpoint is read.
        groups: The optimizer's groups, with `lr`.
    """
    schedules = [each.scheduler for each in trainer.lr_scheduler_configs]
    sizes_were_tried = any(isinstance(each, BatchSizeFinder) for each in trainer.callbacks)  # type: ignore[attr-defined]
    for each in schedules:
        if not isinstance(each, RateSchedule):
            continue
        end = each.max_steps
        if sizes_were_tried:
            trainer.fit_loop._combined_loader = None  # what counts batches is that of a trial
            end = total_steps(trainer)
        each.begin_from([float(group["lr"]) for group in groups], end)
