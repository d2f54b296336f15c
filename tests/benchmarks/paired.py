"""Two or more training loops timed in turn, so that what else the machine does meets all."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["Loop", "PairedTimer"]


class Loop(Protocol):
    """A loop to compare the Trainer's with."""

    def prepare(self, batch: dict[str, Any]) -> Any:
        """Make the inputs of a step, which is not timed."""

    def step(self, inputs: Any) -> None:
        """Take a step, which is."""


class PairedTimer(Callback):
    """Stops the Trainer's clock every few steps and times the other loops on the same batches.

    A round is `steps_per_round` of the Trainer's steps, with all that it does between them, and as
    many of each other loop. Give the Trainer `max_steps` of this object.

    Args:
        loops: Name -> what makes the loop, once the technique has loaded its model.
        rounds: Rounds that count, after one that does not.
        steps_per_round: Steps of each loop in a round.
    """

    def __init__(
        self, loops: Mapping[str, Callable[[], Loop]], rounds: int = 7, steps_per_round: int = 2
    ) -> None:
        self.make_loops = loops
        self.steps_per_round = steps_per_round
        self.max_steps = (rounds + 1) * steps_per_round
        self.seconds: dict[str, list[float]] = {name: [] for name in ("sdtune", *loops)}
        self._batches: list[dict[str, Any]] = []

    def ratio(self, name: str) -> float:
        """Tell how many times as fast as a loop the Trainer's is: the median of the rounds."""
        pairs = zip(self.seconds[name], self.seconds["sdtune"], strict=True)
        return statistics.median(other / ours for other, ours in pairs)

    def milliseconds(self, name: str) -> float:
        """Return what a step takes: the median of the rounds."""
        return 1e3 * statistics.median(self.seconds[name])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make the other loops, and start the clock."""
        self._loops = {name: make() for name, make in self.make_loops.items()}
        self._started = _now()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step; at the end of a round time the others."""
        self._batches.append(batch)
        if len(self._batches) < self.steps_per_round:
            return
        found = {"sdtune": _now() - self._started}
        for name, loop in self._loops.items():
            inputs = [loop.prepare(each) for each in self._batches]
            started = _now()
            for each in inputs:
                loop.step(each)
            found[name] = _now() - started
        if trainer.global_step > self.steps_per_round:  # the first round warms up
            for name, seconds in found.items():
                self.seconds[name].append(seconds / self.steps_per_round)
        self._batches = []
        self._started = _now()


def _now() -> float:
    """Read the time that this process has computed; with several threads, the clock on the wall.

    The former does not count what other processes take from it, but counts threads that wait.
    """
    return time.process_time() if torch.get_num_threads() == 1 else time.perf_counter()
