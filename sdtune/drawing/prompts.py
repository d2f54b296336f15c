"""Prompts in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdtune.files.text_file import read_text

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
    try:
        lines = read_text(path, largest=_LARGEST_FILE).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"Expected `--prompts` to be a text file with a prompt in each line, but {path} cannot "
            f"be read: {getattr(error, 'strerror', None) or error}."
        ) from error
    prompts: Sequence[str] = [line.strip() for line in lines if line.strip()]
    if not prompts:
        raise ValueError(
            f"Expected `--prompts` to hold a prompt in each line, but {path} is empty."
        )
    return list(prompts)
