"""A stretch of a run that is looked at, and when it is."""

from __future__ import annotations

import os
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["WALL_CLOCK", "Window", "counts_computing", "now", "wait_for_device"]

WALL_CLOCK = "SDTUNE_BENCH_WALL_CLOCK"
"""A variable of the environment: if it is there, seconds are those of the clock."""


class Window(Callback):
    """Is told when some steps begin and end; the time between is that of the Trainer's whole loop.

    Args:
        first: Optimizer steps before it.
        steps: Its length.
    """

    def __init__(self, first: int, steps: int) -> None:
        self.first = first
        self.steps = steps
        self.is_open = False
        self.done = 0

    @property
    def last(self) -> int:
        """Optimizer steps after which it has ended."""
        return self.first + self.steps

    def begin(self, trainer: Trainer, module: Any) -> None:
        """Start to look."""

    def end(self, trainer: Trainer, module: Any) -> None:
        """Look no more."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, if there is nothing before it."""
        if self.first == 0:
            self._open(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step; begin or end after it."""
        self.done += 1
        if self.is_open and self.done == self.last:
            self.is_open = False
            self.end(trainer, pl_module)
        if not self.is_open and self.done == self.first:
            self._open(trainer, pl_module)

    def _open(self, trainer: Trainer, module: LightningModule) -> None:
        self.is_open = True
        self.begin(trainer, module)


def wait_for_device() -> None:
    """Wait until the GPU, if there is one, has done all that it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def now() -> float:
    """Read the time that this process has computed; with a GPU or threads, the clock.

    The former does not count what other processes take from it, but counts threads that wait.

    Returns:
        Seconds.
    """
    if counts_computing():
        return time.process_time()
    wait_for_device()
    return time.perf_counter()


def counts_computing() -> bool:
    """Tell whether `now` is the time that this process has computed."""
    if torch.cuda.is_available() or WALL_CLOCK in os.environ:
        return False
    return torch.get_num_threads() == 1
