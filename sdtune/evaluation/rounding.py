"""Figures as a reader sees them, with the digits that are worth reading."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sdtune.run_folder.record import Difference, Figure

__all__ = ["decimals", "interval", "is_share", "number", "percent", "places_of", "signed"]

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


def places_of(key: str, figures: Iterable[Figure | Difference | None]) -> int:
    """Choose how many decimals figures of one metric have beside each other.

    Args:
        key: The metric.
        figures: What stands together; None is passed over.

    Returns:
        See `decimals`; 0 for a share, which is written in percent.
    """
    return 0 if is_share(key) else decimals((each.low, each.high) for each in figures if each)


def is_share(key: str) -> bool:
    """Tell whether a metric is a share in [0, 1]."""
    return key.endswith("_share")


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
