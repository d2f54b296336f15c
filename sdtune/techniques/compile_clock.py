"""How long compiling takes, against the steps of the run that it makes quicker."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from sdtune._wording import counted

__all__ = ["CompileClock", "compile_seconds"]

_QUIET = 5
"""Steps without compiling after which there is no more to be expected, and which are timed."""


class _Compilations:
    """Seconds and number of all that this process has compiled from its making on."""

    def __init__(self) -> None:
        from torch._dynamo.callback import CallbackTrigger, callback_handler

        self.seconds = 0.0
        self.graphs = 0
        self._graph = CallbackTrigger.DYNAMO
        self._started = 0.0
        self._handler = callback_handler

    def listen(self) -> None:
        """Be told of what is compiled, again after `torch._dynamo.reset`, which ends that."""
        if self._start not in self._handler.start_callbacks:
            self._handler.register_start_callback(self._start)
            self._handler.register_end_callback(self._end)

    def _start(self, told: Any) -> None:
        self.graphs += told.callback_trigger is self._graph
        self._started = time.perf_counter()

    def _end(self, told: Any) -> None:
        self.seconds += time.perf_counter() - self._started


_of_process = cache(_Compilations)


def compile_seconds() -> float:
    """Tell how long this process has compiled since this, or a `CompileClock`, was first asked."""
    _of_process().listen()
    return _of_process().seconds


class CompileClock:
    """Says once how long compiling took, when steps have come after it in which nothing was.

    Args:
        blocks: How many blocks are to be compiled.
    """

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        _of_process().listen()
        self._told = self._seen = _of_process().seconds
        self._graphs = _of_process().graphs
        self._quiet = 0
        self._started = 0.0

    def after_batch(self, batches: int, total: Callable[[], int | None]) -> str | None:
        """Look whether anything was compiled in a batch.

        Args:
            batches: In an optimizer step.
            total: Gives the optimizer steps of the run; None if it does not end.

        Returns:
            What there is to say, if there is anything.
        """
        found = _of_process()
        if found.seconds > self._seen:
            self._seen, self._quiet = found.seconds, 0
            self._started = _now()
            return None
        if found.seconds == self._told:
            return None
        self._quiet += 1
        if self._quiet < _QUIET:
            return None
        step = (_now() - self._started) / self._quiet * batches
        taken, line = self._compiled()
        steps = total()
        run = "" if steps is None else f"; the run has {steps}"
        return (
            f"{line}, which is as long as {taken / step:.0f} steps take ({step:.3g} s each){run}."
        )

    def at_end(self, steps: int) -> str | None:
        """Say what was not said, for too few steps came after it.

        Args:
            steps: Optimizer steps that the run has taken.

        Returns:
            A line, if anything was compiled since the last one.
        """
        if _of_process().seconds == self._told:
            return None
        return f"{self._compiled()[1]}; the run had {counted(steps, 'step')}."

    def _compiled(self) -> tuple[float, str]:
        found = _of_process()
        taken, graphs = found.seconds - self._told, found.graphs - self._graphs
        self._told, self._graphs = found.seconds, found.graphs
        blocks = f"{self._blocks} blocks of the UNet"
        return taken, f"Compiled {blocks} into {graphs} graphs in {taken:.1f} s"


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
