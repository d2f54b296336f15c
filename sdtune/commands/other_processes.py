"""The processes that Lightning has started beside this one: when one dies, all end, with why."""

import signal
import subprocess
import time

from lightning.pytorch import Trainer

__all__ = ["LostProcessError", "end_others", "lost_process"]


class LostProcessError(OSError):
    """Another process of the run has died."""


def lost_process(trainer: Trainer, patience: float = 10.0) -> str | None:
    """Find out which process died, after this one has failed for want of it.

    Args:
        trainer: The trainer, which has failed.
        patience: Seconds to wait for one to be found dead.

    Returns:
        A sentence; None if all others run, have ended well, or are none of this process's.
    """
    others = _started(trainer)
    until = time.monotonic() + patience
    while others:
        for rank, each in enumerate(others, start=1):
            if each.poll():
                return (
                    f"Process {rank} of {len(others) + 1} ended {_how(each.returncode)}, and so "
                    "all end. `--resume` goes on from the last checkpoint."
                )
        if time.monotonic() > until:
            break
        time.sleep(0.05)
    return None


def end_others(trainer: Trainer, patience: float = 5.0) -> None:
    """End the processes that this one has started, which would wait for it for ever.

    Args:
        trainer: The trainer, which has failed.
        patience: Seconds in which they may end by themselves, and say why.
    """
    until, others = time.monotonic() + patience, _started(trainer)
    for each in others:
        try:
            each.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            each.kill()  # one that waits for a GPU hears nothing else
            each.wait()
    others.clear()  # Lightning watches this list, and would kill this process for what is in it


def _started(trainer: Trainer) -> list[subprocess.Popen[bytes]]:
    found: list[subprocess.Popen[bytes]] = getattr(trainer.strategy.launcher, "procs", None) or []
    return found


def _how(code: int) -> str:
    if code > 0:
        return f"with code {code}; what it printed says why"
    name = signal.Signals(-code).name
    memory = ", as the system does when memory is short" if -code == signal.SIGKILL else ""
    return f"by {name}{memory}"
