"""Signals that ask a process to end: training stops after the step, when its state is written."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from sdtune.run_folder.run_process import ONE_ASKING

__all__ = ["STOP_SIGNALS", "StopSignals", "Stopped", "requeue", "stopped_before_steps"]

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

    Before the first step there is nothing to keep, and a process that trains alone ends at once.
    One of several would leave the others waiting: all end together, when training is prepared.

    Attributes:
        received: The first signal's number, if there was one.
        takes_steps: Whether training has come to its first step.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self.takes_steps = False
        self._since = 0.0
        self._before: dict[int, Any] = {}
        self._trainer: Trainer | None = None

    def listen(self, trainer: Trainer) -> None:
        """Take the place of what handles the signals now, and keep it, until `leave` is called.

        Args:
            trainer: The trainer, before it trains; what it has started gets the signals too.
        """
        if self._trainer is trainer:
            return
        self.received, self.takes_steps = None, False
        if threading.current_thread() is not threading.main_thread():
            return  # Python lets no other set handlers
        self._trainer = trainer
        # in the handler that it would set, Lightning talks to the other processes, which may be
        # talking of something else: then all wait for ever
        trainer._signal_connector.register_signal_handlers = _set_none  # type: ignore[method-assign]
        self._before = {each: signal.signal(each, self._note) for each in STOP_SIGNALS}

    def leave(self) -> None:
        """Put back what handled the signals before."""
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if self._trainer is not None:
            vars(self._trainer._signal_connector).pop("register_signal_handlers", None)
        self._before, self._trainer = {}, None

    def asked(self, trainer: Trainer) -> bool:
        """Tell whether any process was asked to stop. Called on every rank.

        Args:
            trainer: The trainer.
        """
        if trainer.world_size == 1:
            return self.received is not None
        return bool(trainer.strategy.reduce_boolean_decision(self.received is not None, all=False))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to this process."""
        return {**vars(self), "_before": {}, "_trainer": None}

    def _note(self, number: int, frame: FrameType | None) -> None:
        name, trainer, again = signal.Signals(number).name, self._trainer, self.received is not None
        if again and time.monotonic() - self._since < ONE_ASKING:
            return
        if trainer is not None and number != signal.SIGINT:  # a terminal tells all of Ctrl-C
            self._forward(trainer, number, again)
        if again:
            raise Stopped(number, f"{name} came twice: training stopped at once.")
        self.received, self._since = number, time.monotonic()
        if trainer is not None and not self.takes_steps and trainer.world_size == 1:
            raise Stopped(number, stopped_before_steps(trainer, number))
        when = "after this step" if self.takes_steps else "before its first step"
        rank_zero_info(f"{name}: training stops {when}. Once more stops it at once.")

    def _forward(self, trainer: Trainer, number: int, again: bool) -> None:
        """Tell the processes that this one has started, if that does not kill them too early."""
        launcher = trainer.strategy.launcher
        # those that are on their way to the first step may not listen yet, and hear of it there
        may_listen = self.takes_steps or not isinstance(launcher, _SubprocessScriptLauncher)
        if launcher is not None and (again or may_listen):
            launcher.kill(number)


def stopped_before_steps(trainer: Trainer, number: int) -> str:
    """Say that training stopped before it took a step, and queue a job again that is to be.

    Args:
        trainer: The trainer.
        number: The signal's number.
    """
    queued = " The job is in the queue again." if requeue(trainer, number) else ""
    return f"Training stopped before its first step.{queued}"


def _set_none() -> None:
    """Stand in for what sets Lightning's handlers."""


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
