"""The order in which an epoch repeats pictures, before it is shuffled."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

__all__ = ["Rounds"]


class Rounds:
    """Rounds over pictures: round k holds those with more than k repeats, in their order.

    Equal repeats are the whole list again and again. Memory is that of a list for each different
    number of repeats, whatever the numbers are.

    Args:
        repeats: How often each picture is shown, 1 or more.
    """

    def __init__(self, repeats: Sequence[int]) -> None:
        levels = sorted(set(repeats))
        self._starts: list[int] = []
        self._members: list[Sequence[int]] = []
        self._length, before = 0, 0
        for level in levels:
            members: Sequence[int] = range(len(repeats))
            if level > levels[0]:
                members = [place for place, times in enumerate(repeats) if times >= level]
            self._starts.append(self._length)
            self._members.append(members)
            self._length += (level - before) * len(members)
            before = level

    def __len__(self) -> int:
        return self._length

    def position(self, number: int) -> int:
        """Find which picture a sample shows.

        Args:
            number: Which sample of the epoch.

        Returns:
            The picture's place in the list.

        Raises:
            IndexError: If there is no such sample.
        """
        if not 0 <= number < self._length:
            raise IndexError(f"Expected a number below {self._length}, but got {number}.")
        level = bisect_right(self._starts, number) - 1
        members = self._members[level]
        return members[(number - self._starts[level]) % len(members)]
