"""`python -m benchmarks.subject_front`: compose, run what is left of the plan, tell the results."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from jsonargparse import auto_cli

from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.pages import write
from benchmarks.subject_front.runs import RESULTS, prepare, run
from benchmarks.subject_front.split import SUBJECTS
from benchmarks.subject_front.worker import work, worker

__all__ = ["one", "report"]


def one(arm: str, subject: str, seed: int = 42, device: str = "cpu", out: Path = RESULTS) -> None:
    """Do one run.

    Args:
        arm: Its name in `arms.py`.
        subject: Its name in `split.py`.
        seed: Seed of the training.
        device: `cpu` or `cuda`.
        out: Folder of the results.
    """
    torch.set_num_threads(1)
    for value, known in ((arm, ARMS), (subject, SUBJECTS)):
        if value not in known:
            raise ValueError(f"Expected one of {', '.join(known)}, but got `{value}`.")
    run(arm, subject, seed, device=device, out=out)


def report(seeds: list[int] | None = None) -> None:
    """Write the tables, the plot and the pictures of all that was run.

    Args:
        seeds: Seeds of training whose mean counts, as far as they were run; None for 42.
    """
    write(seeds or [42])


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    auto_cli([prepare, work, worker, one, report])
