"""Where a page may go: it takes the place of an earlier one, and of nobody's own file."""

from __future__ import annotations

import os
from pathlib import Path

from sdtune.files.new_file import new_file_problem

__all__ = ["page_problem"]

_GENERATOR = b'<meta name="generator" content="sdtune '
_FOOTER = b"<p>Written by sdtune "  # of pages that do not name their generator yet
_HEAD, _TAIL = 4096, 65536  # bytes


def page_problem(path: Path, option: str) -> str | None:
    """Say why a page shall not be written to a file.

    Args:
        path: Where it would go.
        option: What names another file, such as `--output`.

    Returns:
        A sentence; None if there is nothing yet, or a page that sdtune wrote.
    """
    if path.is_dir():
        return f"Expected `{option}` to name a file, but got the folder `{path}`."
    if not path.exists():
        return new_file_problem(path)
    if _is_page(path):
        return None
    return (
        f"Expected `{path}` to be a new file, or a page that sdtune wrote, but it is another one; "
        f"name another by `{option}`, or move it away."
    )


def _is_page(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL))
            return _GENERATOR in head or _FOOTER in file.read(_TAIL)
    except OSError:
        return False
