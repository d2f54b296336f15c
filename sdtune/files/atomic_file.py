"""Files that are either whole or not there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

__all__ = ["replaced_atomically", "sync_and_replace", "temporary_sibling"]


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
    finally:
        temporary.unlink(missing_ok=True)


def temporary_sibling(path: str | Path) -> Path:
    """Name a hidden temporary file beside `path`, on the same file system, so a rename is atomic.

    Args:
        path: The file that will be replaced.

    Returns:
        A path that nothing else uses, on this machine or another that shares the folder.
    """
    path = Path(path)
    return path.with_name(f".{path.name}.{uuid4().hex}.tmp")


def sync_and_replace(temporary: str | Path, path: str | Path) -> None:
    """Flush a file to the disk and rename it over `path`, then flush the folder's entry too.

    Args:
        temporary: A complete, closed file in the folder of `path`.
        path: The name it shall have. What was there is replaced.
    """
    _sync(temporary)
    os.replace(temporary, path)
    _sync(Path(path).parent)


def _sync(path: str | Path) -> None:
    if os.name == "nt" and Path(path).is_dir():  # a folder has no file descriptor on Windows
        return
    descriptor = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
