"""How far drawing is: a bar in a terminal, and in a log file a line now and then."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tqdm import tqdm

from sdtune._wording import counted
from sdtune.files.printable_text import show

__all__ = ["DrawingProgress"]

_SECONDS_BETWEEN_LINES = 30.0


class DrawingProgress:
    """One bar over the steps of all pictures, on the standard error; files on the standard output.

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
        self._written = 0
        self._show()

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

    def wrote(self, path: Path) -> None:
        """Print where a picture is, above the bar, and show how many there are.

        Args:
            path: Its file.
        """
        self._written += 1
        if self._is_interactive:
            self._bar.write(str(path), file=sys.stdout)
            self._show()
            return
        show(path)
        now = time.monotonic()
        if now - self._said >= _SECONDS_BETWEEN_LINES and self._written < self._pictures:
            self._said = now
            show(f"{self._written} of {counted(self._pictures, 'picture')} drawn.", file=sys.stderr)

    def _show(self) -> None:
        self._bar.set_description_str(f"picture {self._written}/{self._pictures}")
