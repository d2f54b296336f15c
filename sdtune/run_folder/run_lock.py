"""One process at a time trains in a run's folder."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["LOCK", "RunLock"]

LOCK = ".lock"
"""The file, in the run's folder, that is locked while a process trains there."""


class RunLock:
    """Keeps other processes out of a run's folder until it is released or this process ends.

    Args:
        folder: The run's folder; made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # one for all of this process: the command takes it before the callback does
        self._lock = FileLock(folder / LOCK, timeout=0, is_singleton=True)
        self._is_held = False

    def acquire(self) -> None:
        """Take it.

        Raises:
            FileExistsError: If another process has it.
        """
        if self._is_held:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except Timeout:
            raise FileExistsError(
                f"Expected no other process to train in {self.folder}, but one does "
                f"({self.folder / LOCK} is locked): wait for it or end it, or give `--run` "
                "another name."
            ) from None
        self._is_held = True

    def release(self) -> None:
        """Give it back; nothing happens if it is not held."""
        if self._is_held:
            self._is_held = False
            self._lock.release()
