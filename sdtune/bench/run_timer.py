"""What the parts of a run take, found by its first steps, and how often each comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from sdtune._run_steps import total_steps
from sdtune.bench.window import counts_computing, now
from sdtune.callbacks.periodic import PeriodicCallback

__all__ = ["Part", "RunTimer"]

_WARM_UP = 3
"""Steps that are not those of the rest: a GPU records passes at the second, and blocks compile."""
_TIMED = 20
_FEWEST, _LONG = 4, 60.0  # so many steps are enough, if they have taken so many seconds
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Part:
    """A part of a run.

    Attributes:
        name: What it is.
        times: How often it comes in the whole run.
        seconds: What it takes once.
    """

    name: str
    times: int
    seconds: float

    @property
    def together(self) -> float:
        """Seconds in the whole run."""
        return self.times * self.seconds


@dataclass
class _Visited:
    """What comes now and then.

    Attributes:
        name: What it is.
        every: Gives the steps between two, when the run has ended.
        at_end: Whether it comes once more after the last step, if it has not just been.
        seconds: What each took, without what comes inside it and is timed by itself.
    """

    name: str
    every: Callable[[], float]
    at_end: bool = True
    seconds: list[float] = field(default_factory=list)

    def part(self, steps: int) -> Part:
        """Count it in a run of so many steps."""
        share = steps / self.every()
        times = math.floor(share + _ROUNDING)
        if self.at_end:
            times = max(1, math.ceil(share - _ROUNDING))
        return Part(self.name, times, fmean(self.seconds))


class RunTimer(Callback):
    """Ends a run after its first steps, and knows then what the whole of it takes.

    The first of the callbacks. The run is started as it will be, with its own number of steps, and
    asked to stop: so that what comes at the end, pictures, scores and files of the last step, comes
    once, and so does the validation.

    Args:
        begun: When this process was started, as `time.time()` has it.
        at_first_step: Is called before the first step.

    Attributes:
        start: Seconds from there to the first step.
        timed: Steps that were timed, after some that were not.
    """

    def __init__(self, begun: float, at_first_step: Callable[[], None] | None = None) -> None:
        super().__init__()
        self.at_first_step = at_first_step
        self.start = 0.0
        self.timed = 0
        # the time that a process has computed begins with it
        self._birth = 0.0 if counts_computing() else now() - (time.time() - begun)
        self._visited: list[_Visited] = []
        self._inside = 0.0  # of all that is timed by itself, so far
        self._inside_opened = self._inside_closed = 0.0
        self._has_begun = False
        self._first = self._total = 0
        self._epochs_between: int | None = None
        self._first_step = self._opened = self._closed = self._clock = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn how long the run is, and time what comes now and then.

        Raises:
            ValueError: If the run has no end.
        """
        total = total_steps(trainer)
        if not total:
            raise ValueError("Expected `trainer.max_steps` to be given, for a time of the whole.")
        self._total = total
        self._first = min(_WARM_UP, self._total // 4)
        self._epochs_between = trainer.check_val_every_n_epoch
        self._time_visits(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Note when the first step begins."""
        if self._has_begun:
            return
        self._has_begun = True
        self.start = now() - self._birth
        if self.at_first_step is not None:
            self.at_first_step()
        self._first_step = now()
        if self._first == 0:
            self._open()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step; ask the Trainer to stop when there were enough."""
        step = trainer.global_step
        if self._closed:
            return
        if not self._opened:
            if step >= self._first:
                self._open()
            return
        if self._is_enough(trainer, step - self._first):
            self._close(step)
            self._stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the run for the whole if something else has ended it.

        Raises:
            ValueError: If that was too soon.
        """
        if self._closed:
            return
        step = trainer.global_step
        if not self._opened or step == self._first:
            raise ValueError(
                f"Expected more than {self._first} steps, for a time of the others, but the run "
                f"has ended after {step}."
            )
        self._total = step
        self._close(step)

    def parts(self) -> list[Part]:
        """Say what the whole run takes; called when all is over.

        Returns:
            Its parts, in the order in which they begin.
        """
        visits = self._inside_closed - self._inside_opened
        step = (self._closed - self._opened - visits) / self.timed
        first = self._opened - self._first_step - self._inside_opened - self._first * step
        end = now() - self._closed - (self._inside - self._inside_closed)
        found = [
            Part("start", 1, self.start),
            Part("first steps, beyond the others", 1, max(0.0, first)),
            Part("step", self._total, step),
            *(each.part(self._total) for each in self._visited if each.seconds),
            Part("end", 1, end),
        ]
        return [each for each in found if each.times]

    def _open(self) -> None:
        self._opened, self._inside_opened = now(), self._inside
        self._clock = time.perf_counter()

    def _close(self, step: int) -> None:
        self._closed, self._inside_closed = now(), self._inside
        self.timed = step - self._first

    def _is_enough(self, trainer: Trainer, steps: int) -> bool:
        if steps >= _TIMED or self._first + steps >= self._total:
            return True
        # processes may not differ in it, and one more message at each step would be timed
        is_long = trainer.world_size == 1 and time.perf_counter() - self._clock > _LONG
        return steps >= _FEWEST and is_long

    def _stop(self, trainer: Trainer) -> None:
        loop = trainer.fit_loop
        loop.min_epochs = loop.epoch_loop.min_steps = None
        if trainer.check_val_every_n_epoch is not None:
            trainer.check_val_every_n_epoch = 1  # whatever epoch this is
        trainer.should_stop = True

    def _time_visits(self, trainer: Trainer) -> None:
        def validations() -> float:
            return self._steps_between_validations(trainer)

        def epochs() -> float:
            return self._steps_of_epoch(trainer)

        validation = _Visited("validation", validations, at_end=False)
        self._time(trainer.fit_loop.epoch_loop.val_loop, "run", validation)
        callbacks: list[object] = trainer.callbacks  # type: ignore[attr-defined]
        for each in callbacks:
            name = type(each).__name__
            if isinstance(each, PeriodicCallback):
                every = _always(each.every_n_steps) if each.every_n_steps else validations
                self._time(each, "at_step", _Visited(name, every))
            elif isinstance(each, ModelCheckpoint):
                steps = each._every_n_train_steps
                visited = _Visited(name, _always(steps) if steps else epochs)
                self._time(each, "_save_checkpoint", visited)

    def _time(self, owner: Any, name: str, visited: _Visited) -> None:
        method: Callable[..., Any] = getattr(owner, name)
        self._visited.append(visited)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun, before = now(), self._inside
            result = method(*args, **kwargs)
            taken = now() - begun
            visited.seconds.append(taken - (self._inside - before))
            self._inside = before + taken
            return result

        setattr(owner, name, timed)  # over the class's own

    def _steps_of_epoch(self, trainer: Trainer) -> float:
        batches = trainer.num_training_batches / trainer.accumulate_grad_batches
        return batches if math.isinf(batches) else math.ceil(batches)

    def _steps_between_validations(self, trainer: Trainer) -> float:
        """Count them, or those of an epoch if nothing is validated."""
        epoch = self._steps_of_epoch(trainer)
        if not trainer.enable_validation or not sum(trainer.num_val_batches):
            return epoch
        between = float(trainer.val_check_batch or 1)  # None before the loader is there
        if self._epochs_between is None:
            return between / trainer.accumulate_grad_batches
        an_epoch = max(1.0, trainer.num_training_batches // between)
        return self._epochs_between * epoch / an_epoch


def _always(steps: int) -> Callable[[], float]:
    return lambda: float(steps)
