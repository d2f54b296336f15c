"""Which job of SLURM a process is of, and which of its calls."""

from __future__ import annotations

import hashlib
import os
import sys

__all__ = ["job_of_call", "was_requeued"]


def job_of_call() -> str:
    """Name the job that this process is of, and the call that it is: a job may have several.

    A job that is put into the queue again makes the same calls, by which each finds its own run.

    Returns:
        The job's number, and a digest of this process's command line; empty outside SLURM.
    """
    job = os.environ.get("SLURM_JOB_ID")
    call = hashlib.sha256("\0".join(sys.argv[1:]).encode(errors="surrogateescape")).hexdigest()
    return f"{job} {call[:12]}" if job else ""


def was_requeued() -> bool:
    """Tell whether SLURM has started this job again."""
    return bool(job_of_call()) and int(os.environ.get("SLURM_RESTART_COUNT") or 0) > 0
