"""What lies below a folder: its files, and folders in which nothing is left."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["files_below", "remove_empty_folders"]


def files_below(path: Path) -> list[Path]:
    """List a file, or the files below a folder, in order.

    Args:
        path: The file or folder; it need not exist.
    """
    if path.is_file():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file())


def remove_empty_folders(folder: Path) -> None:
    """Remove the folders below one in which nothing is, and the one itself if nothing is left.

    Links to folders stay.

    Args:
        folder: The folder; it need not exist.
    """
    below = [each for each in folder.rglob("*") if each.is_dir() and not each.is_symlink()]
    for each in (*sorted(below, reverse=True), folder):  # the inner ones first
        with suppress(OSError):  # it holds something, or is a link to elsewhere
            each.rmdir()
