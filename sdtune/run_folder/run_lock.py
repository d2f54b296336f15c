"""One process at a time trains in a run's folder."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from filelock import FileLock, Timeout

from sdtune.run_folder.run_process import LOCK, forget_process, note_process

__all__ = ["RunLock", "take_lock"]

log = logging.getLogger(__name__)

_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP}  # some network file systems


def take_lock(lock: FileLock) -> bool:
    """Take the lock of a folder, as far as its file system has locks.

    Args:
        lock: A file in the folder.

    Returns:
        Whether it is held; False where there are no locks, which is told.

    Raises:
        Timeout: If another process has it.
        OSError: If the folder cannot be written to.
    """
    try:
        lock.acquire()
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in _UNSUPPORTED:
            raise
        folder = Path(lock.lock_file).parent
        log.warning("%s cannot be locked here: see that one process alone trains.", folder)
        return False
    return True


class RunLock:
    """Keeps other processes out of a run's folder until it is released or this process ends.

    While it is held, the folder says which process this is, see `sdtune.run_folder.run_process`.

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
            OSError: If the folder cannot be written to.
        """
        if self._is_held:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._is_held = take_lock(self._lock)
        except Timeout:
            raise FileExistsError(
                f"Expected no other process to train in {self.folder}, but one does "
                f"({self.folder / LOCK} is locked): wait for it or end it, or give `--run` "
                "another name."
            ) from None
        if self._is_held:
            note_process(self.folder)

    def release(self) -> None:
        """Give it back; nothing happens if it is not held."""
        if self._is_held:
            self._is_held = False
            if self._lock.lock_counter == 1:  # before another process may write there
                forget_process(self.folder)
            self._lock.release()
