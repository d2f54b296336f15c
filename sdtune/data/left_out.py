"""The list of the pictures that a run goes on without."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from sdtune.files.line_list import cut_list, list_path, write_list

__all__ = ["LEFT_OUT_NAME", "left_out_notes", "list_left_out"]

log = logging.getLogger(__name__)

LEFT_OUT_NAME = "left_out.txt"
"""The list, in the folder of the run."""


def list_left_out(lines: Sequence[str], folder: str | Path | None, is_first: bool) -> Path:
    """Write the list.

    Args:
        lines: What is wrong with each, a line each.
        folder: The folder of the run; None writes into the cache.
        is_first: Whether this process writes it; else another one does.

    Returns:
        The file.
    """
    path = Path(folder) / LEFT_OUT_NAME if folder else list_path(lines)
    if is_first and not write_list(path, lines):
        log.warning("%s cannot be written.", path)
    return path


def left_out_notes(lines: Sequence[str], path: Path | None) -> list[str]:
    """Say how many are left out and where the list is, and show the first of them.

    Args:
        lines: The list.
        path: Its file.

    Returns:
        A line for all of it, and at most 21 more.
    """
    noun = "problem" if len(lines) == 1 else "problems"
    said = f"data.on_problem: pictures with {len(lines)} {noun} are left out, listed in {path}"
    return [said, *(f"  - {line}" for line in cut_list(lines, path))]
