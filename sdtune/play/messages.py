"""What the page says: what is drawn, and what is wrong, in sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from sdtune.play.studio import Kept, StoppedError

__all__ = ["attempt", "drawn_words", "notice", "warning"]

_log = logging.getLogger(__name__)

_LONGEST = 2000  # characters


def notice(words: str) -> str:
    """Say something, which a screen reader reads when it is idle.

    Args:
        words: Plain text.
    """
    return f'<p role="status">{escape(words[:_LONGEST])}</p>'


def warning(words: str) -> str:
    """Say what is wrong, which a screen reader reads at once.

    Args:
        words: Plain text.
    """
    return f'<p role="alert">{escape(words[:_LONGEST])}</p>'


def attempt(action: Callable[[], Any]) -> tuple[Any, str]:
    """Do something, and say what was wrong with it.

    Args:
        action: What is done.

    Returns:
        What it gives and an empty text; or None and what the page says.
    """
    try:
        return action(), ""
    except StoppedError:
        return None, notice("Stopped. What was ready is among the pictures below.")
    except (OSError, ValueError) as error:
        return None, warning(" ".join(str(error).split()))
    except Exception as error:  # the page goes on, whatever a model or a library meets
        _log.exception("sdtune play")
        words = f"That failed with {type(error).__name__}: {error}"
        return None, warning(" ".join(words.split()))


def drawn_words(drawn: Sequence[Kept], seconds: float, new: int) -> str:
    """Say what was drawn.

    Args:
        drawn: The pictures.
        seconds: What it took.
        new: How many had not been drawn before.
    """
    if not all(each.is_finite for each in drawn):
        return warning(
            "A picture holds what is not a number, and is black: start with `--precision float32`."
        )
    pictures = "picture" if new == 1 else "pictures"
    if not new:
        return notice("Drawn before; nothing had to be drawn.")
    return notice(f"Drew {new} {pictures} in {seconds:.1f} s.")
