"""Whether a file can be written under a name that nothing has yet."""

from __future__ import annotations

from pathlib import Path

__all__ = ["new_file_problem"]


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
            return None
        if above.is_symlink() or above.exists():
            what = "no folder" if above.exists() else "a link to nothing"
            return f"Expected `{path}` to lie in a folder, but `{above}` is {what}: name another."
    return None
