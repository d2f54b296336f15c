"""Prompts in a file."""

from __future__ import annotations

from pathlib import Path

from sdtune.files.text_file import read_lines

__all__ = ["read_prompts"]

_LARGEST_FILE = 10_000_000  # bytes


def read_prompts(path: Path) -> list[str]:
    """Read a file with a prompt in each line.

    Args:
        path: A text file; empty lines are left out.

    Returns:
        The prompts; at least one.

    Raises:
        ValueError: If it is no such file.
    """
    return read_lines(path, "--prompts", "a prompt", largest=_LARGEST_FILE)
