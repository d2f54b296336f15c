"""Whether a path is a file: a pipe would be waited for, and a device may never end."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["NotAFileError", "check_file", "open_file", "special_kind"]

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class NotAFileError(OSError):
    """What is there is no file, and is not opened."""


def special_kind(path: Path) -> str:
    """Say what a path is that is neither a file nor a folder, links followed.

    Args:
        path: The path.

    Returns:
        Such as "a named pipe"; empty if it is a file or a folder, or nothing is there.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # or no possible name
        return ""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return ""
    return _SPECIAL.get(stat.S_IFMT(mode), "no file")


def check_file(path: str | Path) -> None:
    """Raise if a path is no file, before it is opened.

    Args:
        path: The path, links followed.

    Raises:
        FileNotFoundError: If there is nothing.
        NotAFileError: If it is a folder, a pipe, a socket or a device.
        OSError: If it cannot be looked at.
    """
    path = path if isinstance(path, Path) else Path(path)  # it may be one within an archive
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotAFileError("it is not a file")


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading, if it is one; see `check_file`."""
    check_file(path)
    return path.open("rb")
