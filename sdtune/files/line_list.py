"""Lists that may be long: some lines of them for people to see, all of them in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.cache_folder import default_cache_dir

__all__ = ["SHOWN", "cut_list", "list_path", "write_list"]

SHOWN = 20
"""Lines of a list that are printed."""


def list_path(lines: Sequence[str]) -> Path:
    """Name a file in the cache for a list that has no run folder to be in."""
    digest = hashlib.sha256("\n".join(lines).encode(errors="backslashreplace")).hexdigest()
    return default_cache_dir() / "problems" / f"{digest[:12]}.txt"


def write_list(path: Path, lines: Sequence[str]) -> bool:
    """Write a list, a line each.

    Args:
        path: The file.
        lines: The list.

    Returns:
        Whether it could be written.
    """
    try:
        with replaced_atomically(path, synced=False) as temporary:
            # names of files may have bytes that are no text
            text = "\n".join(lines) + "\n"
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        return False
    return True


def cut_list(lines: Sequence[str], path: Path | None = None) -> list[str]:
    """Cut a list for the console; if it is cut, all of it is in a file.

    Args:
        lines: The list.
        path: Where it is written to, if that was done; None writes it, to `list_path`.

    Returns:
        At most 20 lines, and one that says how many more there are and where. All of them if they
        cannot be written.
    """
    if len(lines) <= SHOWN:
        return list(lines)
    if path is None:
        path = list_path(lines)
        if not write_list(path, lines):
            return list(lines)
    return [*lines[:SHOWN], f"and {len(lines) - SHOWN} more: all {len(lines)} are in {path}"]
