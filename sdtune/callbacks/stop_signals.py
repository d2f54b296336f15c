"""Signals that ask a process to end: training stops after the step, when its state is written."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

__all__ = ["STOP_SIGNALS", "StopSignals", "Stopped", "requeue"]

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
"""Ctrl-C, what ends processes, and what SLURM is told to send before it does so."""


class Stopped(SystemExit):
    """Training was asked to end, and has. Uncaught, it ends the process with its code.

    Args:
        number: Of the signal.
        story: What is left of the run.
    """

    def __init__(self, number: int, story: str) -> None:
        super().__init__(128 + number)  # as shells count
        self.number = number
        self.story = story

    def __str__(self) -> str:
        return self.story


class StopSignals:
    """Notes the first signal, and lets the second one end training at once.

    Attributes:
        received: The first signal's number, if there was one.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, Any] = {}
        self._forward: Callable[[int], None] | None = None

    def listen(self, trainer: Trainer) -> None:
        """Take the place of what handles the signals now.

        Args:
            trainer: The trainer; what it has started gets the signals too.
        """
        self.received = signal.SIGTERM if trainer.received_sigterm else None
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other set handlers
        launcher = trainer.strategy.launcher
        self._forward = getattr(launcher, "kill", None)
        self._before = {each: signal.signal(each, self._note) for each in STOP_SIGNALS}

    def leave(self) -> None:
        """Put back what handled the signals before."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def asked(self, trainer: Trainer) -> bool:
        """Tell whether any process was asked to stop. Called on every rank.

        Args:
            trainer: The trainer.
        """
        if trainer.world_size == 1:
            return self.received is not None
        return bool(trainer.strategy.reduce_boolean_decision(self.received is not None, all=False))

    def _note(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._forward is not None and number != signal.SIGINT:  # a terminal tells all of them
            self._forward(number)
        if self.received is not None:
            raise Stopped(number, f"{name} came twice: training stopped at once.")
        self.received = number
        rank_zero_info(f"{name}: training stops after this step. Once more stops it at once.")


def requeue(trainer: Trainer, number: int) -> bool:
    """Put a job of SLURM into the queue again, if it got the signal that is for that.

    Lightning does so too, but from a checkpoint that it writes in the middle of a step.

    Args:
        trainer: The trainer, stopped.
        number: The signal's number.

    Returns:
        Whether the job was put there. It then goes on from its own run's checkpoint.
    """
    environment = trainer._accelerator_connector.cluster_environment
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return False
    if number != environment.requeue_signal or not trainer.is_global_zero:
        return False
    command = ["scontrol", "requeue", os.environ["SLURM_JOB_ID"]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        rank_zero_warn(f"The job was not put into the queue again: {error}.")
        return False
    if done.returncode:
        rank_zero_warn(f"The job was not put into the queue again: {done.stderr.strip()}")
    return done.returncode == 0
