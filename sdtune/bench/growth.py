"""What a step costs against one thing."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast, get_args

from sdtune.bench.record import GrowingName, Growth, Row, spread

__all__ = ["measure_growth", "read_growth"]

_PASSES = 3
_EXAMPLE = "rank=4,16,64"


def read_growth(text: str) -> tuple[GrowingName, list[int]]:
    """Read what `--grow` says.

    Args:
        text: Such as `rank=4,16,64`.

    Returns:
        What grows, and its values.

    Raises:
        ValueError: If it is not known, or the values are no positive integers.
    """
    name, _, values = text.partition("=")
    if name not in get_args(GrowingName):
        raise ValueError(
            f"Expected `--grow` to be of {', '.join(get_args(GrowingName))}, such as {_EXAMPLE}, "
            f"but got `{text}`."
        )
    numbers = [int(each) for each in values.split(",") if each.strip().isdecimal()]
    if len(numbers) != values.count(",") + 1 or min(numbers) < 1:
        raise ValueError(
            f"Expected `--grow {name}` to be followed by positive integers, such as {_EXAMPLE}, "
            f"but got `{text}`."
        )
    return cast(GrowingName, name), numbers


def measure_growth(
    name: GrowingName,
    values: Sequence[int],
    measure: Callable[[int], Row],
    passes: int = _PASSES,
) -> Growth:
    """Measure at each value, several times in turn.

    Args:
        name: What grows.
        values: Its values.
        measure: Makes a row at a value.
        passes: How often each is measured.

    Returns:
        A row for each value: that of the pass in the middle, with the spread of all. What comes
        before the first step is the middle of theirs: the first pass finds nothing kept.
    """
    found: dict[int, list[Row]] = {value: [] for value in values}
    for _ in range(passes):
        for value in found:
            if not any(row.error for row in found[value]):
                found[value].append(measure(value))
    return Growth(name, [_middle(rows) for rows in found.values()])


def _middle(rows: Sequence[Row]) -> Row:
    failed = next((row for row in rows if row.error), None)
    if failed is not None:
        return failed
    seconds = [row.seconds.median for row in rows if row.seconds is not None]
    middle = statistics.median_low(seconds)
    row = rows[seconds.index(middle)]
    starts = [each.preparation for each in rows if each.preparation is not None]
    preparation = statistics.median_low(starts) if starts else None
    return replace(row, seconds=spread(seconds), preparation=preparation)
