"""Several processes that share the plan: a run is claimed before it is begun."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

import torch

from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.plan import PLAN
from benchmarks.subject_front.runs import RESULTS, WORK, run, run_name

__all__ = ["work", "worker"]

_CLAIMS = WORK / "claims"

log = logging.getLogger(__name__)


def work(
    device: str = "cpu",
    jobs: int = 1,
    deadline: float | None = None,
    out: Path = RESULTS,
    only: list[str] | None = None,
) -> None:
    """Do the runs of the plan that have no results yet, in its order.

    Args:
        device: `cpu` or `cuda`.
        jobs: Processes.
        deadline: Seconds from now; no run is begun that would end later. None is none.
        out: Folder of the results.
        only: Arms that are run; None for all.
    """
    end = time.time() + deadline if deadline else 0.0
    shutil.rmtree(_CLAIMS, ignore_errors=True)
    _CLAIMS.mkdir(parents=True)
    call = [sys.executable, "-m", "benchmarks.subject_front", "worker"]
    options = {"device": device, "end": str(end), "out": str(out), "only": ",".join(only or ())}
    call += [each for key, value in options.items() for each in (f"--{key}", value)]
    processes = [subprocess.Popen(call) for _ in range(jobs)]
    for each in processes:
        each.wait()
    done = [each for each in PLAN if (out / f"{run_name(*each)}.json").exists()]
    log.warning("%d of %d runs are done.", len(done), len(PLAN))


def worker(device: str = "cpu", end: float = 0.0, out: Path = RESULTS, only: str = "") -> None:
    """Do runs, one after another, beside other processes.

    Args:
        device: `cpu` or `cuda`.
        end: When the last one has to be done, in seconds since 1970; 0 is never.
        out: Folder of the results.
        only: Arms that are run, with commas between them; empty for all.
    """
    torch.set_num_threads(1)
    slowest = 0.0  # seconds a step
    for planned in PLAN:
        arm, subject, seed = planned
        name = run_name(*planned)
        if only and arm not in only.split(","):
            continue
        if (out / f"{name}.json").exists() or (_CLAIMS / name).exists():
            continue
        steps = ARMS[arm].steps or 600
        if end and time.time() + slowest * steps > end:
            continue
        if not _claimed(name):
            continue
        began = time.time()
        try:
            run(arm, subject, seed, device=device, out=out)
        except Exception:
            _tell(out / "errors" / f"{name}.txt", traceback.format_exc())
        else:
            slowest = max(slowest, (time.time() - began) / steps)


def _claimed(name: str) -> bool:
    try:
        (_CLAIMS / name).open("x").close()
    except FileExistsError:
        return False
    return True


def _tell(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    log.warning("%s: %s", path.stem, text.strip().splitlines()[-1])
