"""Read small texts that come with pictures, and nothing else in their place."""

from __future__ import annotations

import stat
from pathlib import Path

__all__ = ["read_text"]

_LARGEST = 1_000_000_000  # bytes; the metadata of a million pictures are some hundred megabytes


def read_text(path: Path, folder: Path) -> str:
    """Read a UTF-8 text below a folder.

    Args:
        path: The file.
        folder: The folder that it must lie in, links followed.

    Returns:
        The text, without a byte order mark.

    Raises:
        OSError: If it is no file (a pipe or device would be waited for), lies outside of the
            folder, is larger than 1 GB, or cannot be read.
        UnicodeDecodeError: If it is not UTF-8.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError("it is not a file")
    if status.st_size > _LARGEST:
        raise OSError("it is larger than 1 GB")
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        raise OSError("it is a link out of the folder")
    return path.read_text(encoding="utf-8-sig")
