"""What is wrong with a folder of pictures, all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from sdtune.files.line_list import cut_list

__all__ = ["DataError", "OnProblem", "Problem", "check_on_problem"]

OnProblem = Literal["error", "skip"]
"""What becomes of pictures that cannot be used: nothing starts, or they are left out."""


@dataclass(frozen=True)
class Problem:
    """Something that keeps a picture, a caption or a place from being trained on.

    Attributes:
        about: The path or name that it is about, as users know it.
        sentence: What is wrong, and what to do; it goes on after the path, "path: sentence".
        picture: Path of the picture that cannot be used for it, where it is about a caption's file
            or line.
    """

    about: str
    sentence: str
    picture: str = ""

    def __str__(self) -> str:
        """Put it into a line."""
        return f"{self.about}: {self.sentence}"


class DataError(ValueError):
    """A data set that cannot be trained on, with every reason.

    Args:
        problems: One line each: a path, what is wrong with it, and what to do. The message has 20
            of them, and names a file with all.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        noun = "problem" if len(self.problems) == 1 else "problems"
        lines = [f"Found {len(self.problems)} {noun} in the data:", *cut_list(self.problems)]
        super().__init__("\n  - ".join(lines))


def check_on_problem(value: str) -> None:
    """Check the argument of this name.

    Raises:
        ValueError: If there is no such choice.
    """
    if value not in get_args(OnProblem):
        raise ValueError(f"Expected `on_problem` to be 'error' or 'skip', but got {value!r}.")
