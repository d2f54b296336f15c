"""Figures as a reader sees them, with the digits that are worth reading."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sdtune.metrics.intervals import has_spread
from sdtune.run_folder.record import Difference, Figure

__all__ = [
    "decimals",
    "difference_words",
    "figure_words",
    "interval",
    "is_share",
    "number",
    "percent",
    "places_of",
    "signed",
    "verdict_words",
]

_MINUS = "\N{MINUS SIGN}"
_NONE = "no interval"


def decimals(intervals: Iterable[tuple[float, float]]) -> int:
    """Choose how many decimals are worth reading: two digits of the narrowest interval.

    Args:
        intervals: Lower and upper ends.

    Returns:
        From 0 to 4.
    """
    widths = [high - low for low, high in intervals if has_spread(low, high)]
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
    """Write an interval: `27.0 to 29.3`; `no interval` where samples that are all alike allow none.

    Where they all are 0, as is a difference of pictures that did not change, it is 0 to 0.
    """
    if not _is_told(low, high):
        return _NONE
    return f"{number(low, places)} to {number(high, places)}"


def verdict_words(difference: Difference | None) -> str:
    """Write a verdict; empty where there is none, which the interval's words say already."""
    return "" if difference is None or difference.verdict == _NONE else difference.verdict


def percent(share: float) -> str:
    """Write a share in [0, 1]; one that is small but not 0 is `under 1 %`."""
    return "under 1 %" if 0.0 < share < 0.01 else f"{100 * share:.0f} %"


def figure_words(key: str, figure: Figure | None, places: int) -> tuple[str, str]:
    """Write a figure and its interval.

    Args:
        key: The metric.
        figure: Its figure; None if it was not measured.
        places: Decimals, as `places_of` chooses them.

    Returns:
        Such as `28.1` and `27.0 to 29.3`; both empty without a figure.
    """
    if figure is None:
        return "", ""
    if is_share(key):
        between = f"{percent(figure.low)} to {percent(figure.high)}"
        return percent(figure.value), between if _is_told(figure.low, figure.high) else _NONE
    return number(figure.value, places), interval(figure.low, figure.high, places)


def difference_words(key: str, difference: Difference | None, places: int) -> tuple[str, str]:
    """Write a difference from the base and its interval, as `figure_words` writes a figure."""
    if difference is None:
        return "", ""
    value, low, high = difference.difference, difference.low, difference.high
    if is_share(key):
        return f"{signed(100 * value, 0)} points", interval(100 * low, 100 * high, 0)
    return signed(value, places), interval(low, high, places)


def _is_told(low: float, high: float) -> bool:
    return has_spread(low, high) or not low
