"""Texts of strangers for a terminal, which obeys what it is shown: all that is printed."""

from __future__ import annotations

import logging
import re
import sys
from codecs import backslashreplace_errors, register_error
from io import TextIOWrapper
from typing import TextIO

__all__ = ["PrintableRecord", "encodable", "escape_unprintable", "printable", "show"]

# controls, ends of lines, what turns the direction of writing, and what has no bytes
_CONTROLS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
_MINUS = "\u2212"
_ERRORS = "sdtune.escape"
_NAMES = {"\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    r"""Show control characters as `\x1b` and the like, and ends of lines as `\n`; tabs stay.

    Args:
        text: One line, such as a name in the header of somebody's file.

    Returns:
        A line, which moves no cursor, clears no screen, sets no title, looks like no other line,
        and can be encoded.
    """
    return _CONTROLS.sub(lambda found: _NAMES.get(found[0]) or _escape(found[0]), text)


def encodable(text: str) -> str:
    r"""Write what UTF-8 has no bytes for, as in a name of another encoding, as `\udce9`.

    Args:
        text: A text.

    Returns:
        The text that can stand in a file; nearly always the same.
    """
    return text.encode("utf-8", errors="backslashreplace").decode("utf-8")


def show(*lines: object, file: TextIO | None = None) -> None:
    """Print lines, whoever wrote what stands in them.

    Args:
        *lines: Each is one line, see `printable`.
        file: Where to; None for the standard output.
    """
    for line in lines:
        print(printable(str(line)), file=file or sys.stdout)
    (file or sys.stdout).flush()


def escape_unprintable() -> None:
    r"""Let the standard streams write what their encoding lacks as `\u2191`, and not fail.

    A terminal, or a file that output is redirected to, may be of an encoding such as cp1252; no
    result is lost for want of an arrow. A minus becomes a hyphen: its escape would run into the
    number. A stream that somebody put in their place is left as it is if it cannot be told so.
    """
    register_error(_ERRORS, _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


class PrintableRecord(logging.LogRecord):
    """A record of the log; see `printable`, but what logs has lines of its own."""

    def getMessage(self) -> str:  # noqa: N802
        """Give the message, each line of it as it is printed."""
        return "\n".join(map(printable, super().getMessage().split("\n")))


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and error.object[error.start] == _MINUS:
        return "-", error.start + 1
    if isinstance(error, UnicodeEncodeError) and _MINUS in error.object[error.start : error.end]:
        error.end = error.object.index(_MINUS, error.start)  # it comes next
    return backslashreplace_errors(error)


def _escape(character: str) -> str:
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
