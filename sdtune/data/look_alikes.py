"""Which pictures look alike, by hashes of what they show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

__all__ = ["alike_groups", "first_alikes"]

# saved again as a JPEG, or at another size, a picture's hash moves by 2 of 64 bits at most
_ALIKE_BITS = 2

# a hash of fewer bits is that of a plain surface, which all plain surfaces share
_TELLING_BITS = 4

_ROWS_AT_ONCE = 256  # of the table of all pairs, which would not fit into memory whole


def first_alikes(hashes: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Find for each picture the first one before it that it looks like.

    Args:
        hashes: See `perceptual_hash`; None is not compared, and neither is a plain surface.

    Yields:
        Two positions, the later one first.
    """
    telling, positions = _telling(hashes)
    for begin, is_alike in _compared(telling):
        for row in np.flatnonzero(is_alike.any(axis=1)):
            yield int(positions[begin + row]), int(positions[is_alike[row].argmax()])


def alike_groups(hashes: Sequence[int | None]) -> list[int]:
    """Put pictures together that look alike, also those that do so by way of others.

    Args:
        hashes: See `first_alikes`.

    Returns:
        For each picture the position of the first of its group, which may be its own.
    """
    groups = list(range(len(hashes)))
    telling, positions = _telling(hashes)
    # of equal hashes one is compared: a thousand copies would make a million pairs
    distinct, where = np.unique(telling, return_inverse=True)
    parents = list(range(len(distinct)))

    def root(each: int) -> int:
        while parents[each] != each:
            parents[each] = parents[parents[each]]
            each = parents[each]
        return each

    for begin, is_alike in _compared(distinct):
        for row, column in np.argwhere(is_alike).tolist():
            parents[root(begin + row)] = root(column)
    firsts: dict[int, int] = {}
    for position, each in zip(positions.tolist(), where.tolist(), strict=True):
        groups[position] = firsts.setdefault(root(each), position)
    return groups


def _telling(hashes: Sequence[int | None]) -> tuple[np.ndarray, np.ndarray]:
    """Give the hashes that tell something, and their positions."""
    known = [n for n, each in enumerate(hashes) if each is not None]
    values = np.array([hashes[n] for n in known], np.uint64)
    is_telling = np.bitwise_count(values) >= _TELLING_BITS
    return values[is_telling], np.array(known, np.int64)[is_telling]


def _compared(hashes: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Compare each with those before it; yield the first row, and (rows, columns) of booleans."""
    for begin in range(0, len(hashes), _ROWS_AT_ONCE):
        rows = hashes[begin : begin + _ROWS_AT_ONCE]
        differ = np.bitwise_count(rows[:, None] ^ hashes[None, : begin + len(rows)])
        yield begin, np.tril(differ <= _ALIKE_BITS, begin - 1)
