"""Runs of the plan by several processes at once, each of which does many."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from benchmarks.style_front.plan import Planned
from benchmarks.style_front.runs import lacks, run, score_base

__all__ = ["run_all"]

log = logging.getLogger(__name__)


def run_all(
    planned: Sequence[Planned],
    device: str = "cpu",
    jobs: int = 1,
    deadline: float | None = None,
    at_most: int | None = None,
) -> None:
    """Do runs in their order, each by one process, as far as results lack points of them.

    Args:
        planned: The runs.
        device: `cpu` or `cuda`, which all of them share.
        jobs: Processes.
        deadline: `time.time()` by which all should be done: no run is begun that would, if it
            took as long as the longest so far, end after it. None is none.
        at_most: Runs that are done; None for all.
    """
    left = [each for each in planned if lacks(each.arm, each.style, each.seed, **each.points)]
    left = left[:at_most]
    _prepare(device)
    for style in dict.fromkeys(each.style for each in left):
        score_base(style, device)
    context = multiprocessing.get_context("spawn")  # a GPU does not survive a fork
    shared = _Shared(context, deadline)
    if jobs == 1:
        _work(left, device, shared)
        return
    workers: list[BaseProcess] = [
        context.Process(target=_work, args=(left, device, shared)) for _ in range(jobs)
    ]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    failed = [each.exitcode for each in workers if each.exitcode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {jobs} processes failed, with codes {failed}.")


class _Shared:
    """What processes know of each other: which run is next, and the longest so far."""

    def __init__(self, context: Any, deadline: float | None) -> None:
        self.deadline = deadline
        self._lock = context.Lock()
        self._next, self._longest = context.Value("q", 0), context.Value("d", 0.0)

    def taken(self, count: int) -> int | None:
        """Take the number of the next run of so many, None if none is to be begun."""
        with self._lock:
            end = time.time() + self._longest.value
            if self._next.value == count or (self.deadline is not None and end > self.deadline):
                return None
            self._next.value += 1
            return int(self._next.value) - 1

    def took(self, seconds: float) -> None:
        """Tell how long a run took."""
        with self._lock:
            self._longest.value = max(self._longest.value, seconds)


def _work(planned: Sequence[Planned], device: str, shared: _Shared) -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    _prepare(device)
    while (number := shared.taken(len(planned))) is not None:
        each, start = planned[number], time.time()
        try:
            run(each.arm, each.style, each.seed, **each.points, device=device)
        except RuntimeError:  # one that fails, as for want of memory, keeps none of the others back
            log.exception("%s on %s with seed %s failed", each.arm, each.style, each.seed)
        shared.took(time.time() - start)


def _prepare(device: str) -> None:
    torch.set_num_threads(1)
    if device == "cuda":  # the same arithmetic as on a CPU, but for the order of sums
        torch.backends.cudnn.allow_tf32 = False
