"""Two or more training loops timed in turn, so that what else the machine does meets all."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from sdtune.bench.window import now

__all__ = ["OURS", "Loop", "PairedTimer"]

OURS = "sdtune"
"""The Trainer's loop, among the others."""


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
        loops: Name -> what makes the loop from the technique that is trained, once it has loaded
            its model. One for which the GPU has no room is left out.
        rounds: Rounds that count, after one that does not.
        steps_per_round: Steps of each loop in a round.
        first: Optimizer steps before all that.

    Attributes:
        seconds: Name of a loop -> seconds of a step in each round.
        without_room: Names of the loops for which the GPU has no room.
    """

    def __init__(
        self,
        loops: Mapping[str, Callable[[Any], Loop]],
        rounds: int = 7,
        steps_per_round: int = 2,
        first: int = 0,
    ) -> None:
        self.make_loops = loops
        self.steps_per_round = steps_per_round
        self.first = first
        self.max_steps = first + (rounds + 1) * steps_per_round
        self.seconds: dict[str, list[float]] = {name: [] for name in (OURS, *loops)}
        self.without_room: list[str] = []
        self._loops: dict[str, Loop] | None = None
        self._batches: list[dict[str, Any]] = []
        self._started = 0.0

    def ratios(self, name: str) -> list[float]:
        """Tell how many times as fast as a loop the Trainer's is, in each round."""
        pairs = zip(self.seconds[name], self.seconds[OURS], strict=True)
        return [other / ours for other, ours in pairs]

    def ratio(self, name: str) -> float:
        """Return the median of the ratios."""
        return statistics.median(self.ratios(name))

    def milliseconds(self, name: str) -> float:
        """Return what a step takes: the median of the rounds."""
        return 1e3 * statistics.median(self.seconds[name])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, if nothing comes before."""
        if self.first == 0:
            self._begin(pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step; at the end of a round time the others."""
        if self._loops is None:
            if trainer.global_step >= self.first:
                self._begin(pl_module)
            return
        self._batches.append(batch)
        if len(self._batches) < self.steps_per_round:
            return
        found = {OURS: now() - self._started}
        for name in list(self._loops):
            try:
                found[name] = self._time(self._loops[name])
            except torch.OutOfMemoryError:
                self._leave_out(name)
        if trainer.global_step > self.first + self.steps_per_round:  # the first round warms up
            for name, seconds in found.items():
                self.seconds[name].append(seconds / self.steps_per_round)
        self._batches = []
        self._started = now()

    def _begin(self, module: LightningModule) -> None:
        self._loops = {}
        for name, make in self.make_loops.items():
            try:
                self._loops[name] = make(module)
            except torch.OutOfMemoryError:
                self._leave_out(name)
        self._started = now()

    def _time(self, loop: Loop) -> float:
        inputs = [loop.prepare(each) for each in self._batches]
        started = now()
        for each in inputs:
            loop.step(each)
        return now() - started

    def _leave_out(self, name: str) -> None:
        self.without_room.append(name)
        if self._loops is not None:
            self._loops.pop(name, None)
        self.seconds.pop(name, None)
        torch.cuda.empty_cache()
