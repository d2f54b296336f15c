"""Texts of strangers for a terminal, which obeys what it is shown."""

from __future__ import annotations

import re

__all__ = ["printable"]

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    r"""Show control characters as `\x1b` and the like; tabs and ends of lines stay.

    Args:
        text: Anything, such as a name in the header of somebody's file.

    Returns:
        The text, which moves no cursor, clears no screen and sets no title.
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
