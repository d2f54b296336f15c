"""Prompts as people give them: in the call, in a file, and with fields that an adapter fills."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdtune.files.text_file import read_text

__all__ = ["fill_fields", "read_prompts"]

_FIELD = re.compile(r"\{([a-z_]+)\}")
_LARGEST_FILE = 10_000_000  # bytes


def fill_fields(prompt: str, fields: Mapping[str, str]) -> str:
    """Put the words of a field, such as `{subject}`, in its place.

    Args:
        prompt: A text.
        fields: Name -> words, as the adapter records them.

    Returns:
        The text without fields.

    Raises:
        ValueError: If it names a field that there is not.
    """
    unknown = [name for name in _FIELD.findall(prompt) if name not in fields]
    if unknown:
        known = ", ".join(f"`{{{name}}}`" for name in fields) or "none"
        raise ValueError(
            f"Expected a field that the adapter records, which are {known}, but the prompt "
            f"`{prompt}` has `{{{unknown[0]}}}`: write the words themselves."
        )
    return _FIELD.sub(lambda found: fields[found[1]], prompt)


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
