"""Where what can be made again is kept, and how much room it may take."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["DEFAULT_LIMIT", "cache_limit", "default_cache_dir", "parse_size", "size_words"]

DEFAULT_LIMIT = 100 * 10**9
"""Bytes that features may take where nobody says otherwise."""

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)?", re.IGNORECASE)
_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def default_cache_dir() -> Path:
    """Name the folder for caches: `$SDTUNE_CACHE`, or `~/.cache/sdtune`."""
    return Path(os.environ.get("SDTUNE_CACHE") or "~/.cache/sdtune").expanduser()


def cache_limit() -> int:
    """Say how many bytes features may take: `$SDTUNE_CACHE_LIMIT`, such as 50GB, or 100 GB.

    Raises:
        ValueError: If the variable is no size.
    """
    text = os.environ.get("SDTUNE_CACHE_LIMIT")
    return parse_size("SDTUNE_CACHE_LIMIT", text) if text else DEFAULT_LIMIT


def parse_size(name: str, text: str) -> int:
    """Read a size.

    Args:
        name: What gives it, for the error.
        text: A number, with B, KB, MB, GB or TB behind it; bytes without.

    Returns:
        Bytes.

    Raises:
        ValueError: If it is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"Expected `{name}` to be a size such as 50GB, but got {text!r}.")
    return int(float(match[1]) * _UNITS[(match[2] or "B").upper()])


def size_words(count: int) -> str:
    """Word a number of bytes, such as 1.5 GB."""
    unit = next((u for u in ("TB", "GB", "MB", "KB") if count >= _UNITS[u]), "B")
    return f"{count} B" if unit == "B" else f"{count / _UNITS[unit]:.1f} {unit}"
