"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

__all__ = [
    "is_temporary",
    "remove_leftovers",
    "replaced_atomically",
    "sync",
    "sync_and_replace",
    "temporary_sibling",
]

_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:8]
_START = uuid4().hex[:8]  # a process may have the number of one that is dead
_LONGEST_NAME = 255  # bytes, on nearly all file systems
_TEMPORARY = re.compile(r"\..+\.([0-9a-f]{8})-(\d+)-([0-9a-f]{8})-[0-9a-f]{12}\.tmp")


@contextmanager
def replaced_atomically(path: str | Path, *, synced: bool = True) -> Iterator[Path]:
    """Write a file under a temporary name and give it its own name only when it is on the disk.

    A crash at any moment leaves the old file, or none, but never half of one. Several processes
    may write the same file at once: that of the last one stays.

    Args:
        path: Where the file shall be. Its folder is made if it is missing.
        synced: Whether to wait for the disk before the file gets its name. Without it a loss of
            power may leave a file that is cut off: for what is checked when it is read, or can be
            made again.

    Yields:
        The temporary path to write to, in the same folder, hidden. It has no meaningful suffix,
        so a writer that guesses the format from the name must be told it.

    Raises:
        OSError: If the disk is full or the like; it names the file that there should be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_sibling(path)
    try:
        yield temporary
        if synced:
            sync_and_replace(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as error:
        # a full disk is told of without a name
        if error.errno is None or error.filename not in (None, str(temporary)):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        with suppress(OSError):  # the folder is gone, or cannot be written to any more
            temporary.unlink(missing_ok=True)


def temporary_sibling(path: str | Path) -> Path:
    """Name a hidden temporary file beside `path`, on the same file system, so a rename is atomic.

    Args:
        path: The file that will be replaced.

    Returns:
        A path that nothing else uses, on this machine or another that shares the folder. Its name
        is no longer than names may be, if that of `path` is not.
    """
    path = Path(path)
    rest = f".{_MACHINE}-{os.getpid()}-{_START}-{uuid4().hex[:12]}.tmp"
    name = f".{path.name}"
    while len(os.fsencode(name + rest)) > _LONGEST_NAME:
        name = name[:-1]  # a character, which may be several bytes
    return path.with_name(name + rest)


def is_temporary(name: str) -> bool:
    """Tell whether `temporary_sibling` has named a file or folder so, on whatever machine.

    Args:
        name: Its name, without the folder.
    """
    return _TEMPORARY.fullmatch(name) is not None


def remove_leftovers(folder: str | Path) -> list[Path]:
    """Delete the temporary files that killed processes left in a folder and those below it.

    Only what `temporary_sibling` has named, on this machine, by a process that is gone. What
    another machine left stays, for its processes cannot be seen from here.

    Args:
        folder: The folder; it need not exist.

    Returns:
        What was deleted.
    """
    removed = []
    for path in sorted(Path(folder).rglob(".*.tmp")):
        name = _TEMPORARY.fullmatch(path.name)
        if name is None or name[1] != _MACHINE or _is_alive(int(name[2]), name[3]):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed.append(path)
    return removed


def sync_and_replace(temporary: str | Path, path: str | Path) -> None:
    """Flush a file to the disk and rename it over `path`, then flush the folder's entry too.

    Args:
        temporary: A complete, closed file in the folder of `path`.
        path: The name it shall have. What was there is replaced.
    """
    sync(temporary)
    os.replace(temporary, path)
    sync(Path(path).parent)


def sync(path: str | Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk.

    Args:
        path: The file or folder.
    """
    if os.name == "nt" and Path(path).is_dir():  # a folder has no file descriptor on Windows
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_alive(process: int, start: str) -> bool:
    """Tell whether the process that has named a file may still write it."""
    if process == os.getpid():
        return start == _START
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Tell whether a process has ended and nobody has asked how, as in containers without init."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # there is no such folder but on Linux
        return False
    return text.rpartition(")")[2].split()[:1] == ["Z"]
