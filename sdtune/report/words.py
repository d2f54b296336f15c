"""Figures and verdicts as a reader sees them."""

from __future__ import annotations

import math
from collections.abc import Iterable

__all__ = ["LIMITS", "decimals", "duration", "interval", "number", "percent", "signed"]

LIMITS: dict[str, str] = {
    "clip_score": "It does not say whether a picture is beautiful, nor in which style it is drawn.",
    "style_score": "It does not say whether a picture shows what was asked for.",
    "clip_i": "It does not tell a likeness that was learned from a copy.",
    "dino": "It does not tell a likeness that was learned from a copy.",
    "clip_mmd": "It says nothing of a single picture, and little where there are few of them.",
    "ssim": "It compares pixels in place: the same thing drawn elsewhere scores low.",
    "ssim_nearest": "It compares pixels in place: a copy that was moved or mirrored scores low.",
    "lpips_diversity": "It does not say whether any of the pictures is good.",
    "memorised_share": "It does not prove a copy: look at the pairs below.",
    "class_drift": "It does not say whether the change is for the better.",
}
"""Metric -> what it does not mean, in one sentence."""

_MINUS = "\N{MINUS SIGN}"


def decimals(intervals: Iterable[tuple[float, float]]) -> int:
    """Choose how many decimals are worth reading: two digits of the narrowest interval.

    Args:
        intervals: Lower and upper ends.

    Returns:
        From 0 to 4.
    """
    widths = [high - low for low, high in intervals if high > low]
    if not widths:
        return 2
    return min(4, max(0, 1 - math.floor(math.log10(min(widths)))))


def number(value: float, places: int) -> str:
    """Write a number with its minus sign; `-0.0` is 0."""
    text = f"{value:.{places}f}"
    return text.replace("-", _MINUS if float(text) else "")


def signed(value: float, places: int) -> str:
    """Write a difference, which shows its sign unless it is 0."""
    text = number(value, places)
    return f"+{text}" if float(f"{value:.{places}f}") > 0 else text


def interval(low: float, high: float, places: int) -> str:
    """Write an interval: `27.0 to 29.3`."""
    return f"{number(low, places)} to {number(high, places)}"


def percent(share: float) -> str:
    """Write a share in [0, 1]; one that is small but not 0 is `under 1 %`."""
    return "under 1 %" if 0.0 < share < 0.01 else f"{100 * share:.0f} %"


def duration(seconds: float) -> str:
    """Write a time as one reads it aloud: `41 s`, `2 min 18 s`, `3 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
