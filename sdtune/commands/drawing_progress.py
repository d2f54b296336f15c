"""How far drawing is: a bar in a terminal, and in a log file a line now and then."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

__all__ = ["DrawingProgress"]

_SECONDS_BETWEEN_LINES = 30.0


class DrawingProgress:
    """One bar over the steps of all pictures, on the standard error.

    Args:
        steps: Of all pictures together.
        pictures: How many there are.
    """

    def __init__(self, steps: int, pictures: int) -> None:
        self._pictures = pictures
        self._is_interactive = sys.stderr.isatty()
        self._bar = tqdm(
            total=steps,
            disable=not self._is_interactive,
            leave=False,
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left",
            dynamic_ncols=True,
        )
        self._said = time.monotonic()
        self.wrote(0)

    def __enter__(self) -> DrawingProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def count(self, steps: int) -> None:
        """Count steps.

        Args:
            steps: How many pictures made one.
        """
        self._bar.update(steps)

    def wrote(self, pictures: int) -> None:
        """Show how many pictures are there.

        Args:
            pictures: So many.
        """
        self._bar.set_description_str(f"picture {pictures}/{self._pictures}")
        now = time.monotonic()
        if not self._is_interactive and now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            print(f"{pictures} of {self._pictures} pictures are drawn.", file=sys.stderr)
