"""Texts of files in Markdown, which show what they say and do nothing else."""

from __future__ import annotations

import re

__all__ = ["code", "fenced", "plain"]

# a `_` inside of a word is one to every reader
_SIGNS = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")


def plain(text: str) -> str:
    """Write words that are no link, picture, tag, column or emphasis, whatever they look like.

    Args:
        text: Any text.

    Returns:
        One line.
    """
    line = _SIGNS.sub(lambda sign: f"\\{sign[0]}", " ".join(text.split()))
    return line.replace("&", "&amp;").replace("<", "&lt;")


def code(text: str) -> str:
    """Write a text as code inside of a line.

    Args:
        text: Any text.

    Returns:
        One line, between as many backticks as tell it from its own.
    """
    line = " ".join(text.split())
    fence = "`" * (_longest_run(line) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{room}{line}{room}{fence}"


def fenced(text: str, language: str = "") -> str:
    """Write a text as a block of code.

    Args:
        text: Any text, of any number of lines.
        language: What it is written in, such as "python".

    Returns:
        Its lines between fences that are longer than any row of backticks in it.
    """
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
