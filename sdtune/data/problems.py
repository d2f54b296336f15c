"""What is wrong with a folder of pictures, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["DataError"]


class DataError(ValueError):
    """A data set that cannot be trained on, with every reason.

    Args:
        problems: One line each: a path, what is wrong with it, and what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"Found {len(self.problems)} {noun} in the data:", *self.problems]
        super().__init__("\n  - ".join(lines))
