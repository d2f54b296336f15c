"""Whether a file can be written under a name that nothing has yet."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["closed_folder_problem", "new_file_problem"]


def new_file_problem(path: Path) -> str | None:
    """Say what is in the way of a new file or folder; those above it are made if missing.

    Args:
        path: Where it shall be.

    Returns:
        A sentence; None if nothing is.
    """
    if path.is_symlink() and not path.exists():
        return f"Expected `{path}` not to exist, but it is a link to nothing: name another."
    if path.exists():
        return f"Expected `{path}` not to exist, but it does: name another."
    for above in path.parents:
        if above.is_dir():
            return closed_folder_problem(above, path)
        if above.is_symlink() or above.exists():
            what = "no folder" if above.exists() else "a link to nothing"
            return f"Expected `{path}` to lie in a folder, but `{above}` is {what}: name another."
    return None


def closed_folder_problem(folder: Path, path: Path | None = None) -> str | None:
    """Say that nothing can be made in a folder, which is tried and leaves nothing behind.

    Args:
        folder: The folder, which exists.
        path: What shall lie in it or below it, to be named; None is the folder itself.

    Returns:
        A sentence; None if a file can be made there.
    """
    try:
        with TemporaryFile(dir=folder):
            return None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return (
            f"Expected `{path or folder}` to be where files can be written, but nothing can be "
            f"made in `{folder}` ({reason}): name another."
        )
