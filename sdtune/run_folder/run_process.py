"""Which process trains in a run's folder: seen, and asked to stop, from outside."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated

import psutil
from pydantic import Field, FiniteFloat

from sdtune.files.json_file import JsonFileError, read_json, write_json

__all__ = [
    "LOCK",
    "ONE_ASKING",
    "PROCESS",
    "RunProcess",
    "forget_process",
    "note_process",
    "note_steps",
    "training_process",
]

LOCK = ".lock"
"""The file, in the run's folder, that is locked while a process trains there."""

ONE_ASKING = 1.0
"""Seconds in which signals to stop are one: `timeout` signals its command, and then its group."""

PROCESS = ".process.json"
"""The file, in the run's folder, that names the process that has locked it."""

VERSION = 1

_SAME_START = 2.0  # seconds: as the machine reckons it, which moves when its clock is set


@dataclass(frozen=True)
class RunProcess:
    """A process that trains, or did before it was killed.

    Attributes:
        pid: Its number, which the machine gives to another one when it is gone.
        started: When it began, in seconds since 1970.
        host: Its machine's name.
        asked: Whether it was asked to stop by `stop`.
        steps: Optimizer steps that the run takes in all; None before that is known, or if its end
            is another.
    """

    pid: Annotated[int, Field(gt=0)]
    started: FiniteFloat
    host: str
    asked: bool = field(default=False, compare=False)
    steps: int | None = field(default=None, compare=False)

    @property
    def is_here(self) -> bool:
        """Whether it is of this machine."""
        return self.host == platform.node()

    def trains_in(self, folder: Path) -> bool:
        """Tell whether it is still there, and is the one that has a run's lock open.

        Args:
            folder: The run's folder.
        """
        return self._found(folder) is not None

    def stop(self, folder: Path) -> bool:
        """Ask it to stop as Ctrl-C does: after the step, with a checkpoint.

        By SIGTERM, for SIGINT is ignored by what a script started in the background, and blocked
        in what a worker of Ray started. It is sent once, by whomever: a second one would end the
        run at once.

        Args:
            folder: The run's folder.

        Returns:
            Whether it was asked now; False if it had been before.

        Raises:
            ProcessLookupError: If it no longer trains there. No other process is asked.
        """
        found = self._found(folder)
        try:
            if found is None:
                raise psutil.NoSuchProcess(self.pid)
            now = _read(folder)
            if now == self and now.asked:
                return False
            found.terminate()  # which looks once more whether it is the same process
        except psutil.Error as error:
            raise ProcessLookupError(f"No process trains in {folder} any more.") from error
        with suppress(OSError):  # the folder is gone
            _write(folder, replace(self, asked=True))
        return True

    def _found(self, folder: Path) -> psutil.Process | None:
        if not self.is_here:
            return None
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) < _SAME_START
            return process if is_same and _has_open(process, folder / LOCK) else None
        except psutil.Error:
            return None


def note_process(folder: Path) -> None:
    """Write down that this process trains in a folder, whose lock it has.

    Args:
        folder: The run's folder.
    """
    _write(folder, RunProcess(os.getpid(), psutil.Process().create_time(), platform.node()))


def note_steps(folder: Path, steps: int | None) -> None:
    """Write down how many steps the run takes that this process trains in a folder.

    Args:
        folder: The run's folder.
        steps: Optimizer steps, those before a resume included; 0 or None if no number
            of them ends it.
    """
    process = _read(folder)
    if process is None or not process.is_here or process.pid != os.getpid():
        return  # of a folder that cannot be locked nothing is said
    with suppress(OSError):  # training does not end for it
        _write(folder, replace(process, steps=steps or None))


def forget_process(folder: Path) -> None:
    """Write down that no process trains in a folder.

    Args:
        folder: The run's folder.
    """
    (folder / PROCESS).unlink(missing_ok=True)


def training_process(folder: Path) -> RunProcess | None:
    """Find the process that trains in a folder.

    Args:
        folder: The run's folder.

    Returns:
        The process: one of this machine is alive, of one of another machine that is not known.
        None if nothing trains there.
    """
    process = _read(folder)
    if process is None or (process.is_here and not process.trains_in(folder)):
        return None
    return process


@dataclass(frozen=True)
class _File:
    version: int
    process: RunProcess


def _read(folder: Path) -> RunProcess | None:
    if (folder / PROCESS).is_symlink():  # somebody else's: it is written as a file
        return None
    try:
        return read_json(_File, folder / PROCESS, VERSION).process
    except (OSError, JsonFileError):
        return None


def _write(folder: Path, process: RunProcess) -> None:
    write_json(folder / PROCESS, {"version": VERSION, "process": asdict(process)})


def _has_open(process: psutil.Process, path: Path) -> bool:
    try:
        return any(os.path.samefile(each.path, path) for each in process.open_files())
    except OSError:
        return False
