"""Several runs side by side on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdtune.report.table import Table

__all__ = ["write_comparison"]


def write_comparison(title: str, tables: Sequence[Table], runs: Sequence[Path], path: Path) -> Path:
    """Write a page with some tables, and a row for each run below them.

    Args:
        title: The page's title.
        tables: What the comparison found, in this order.
        runs: Run folders, finished or not.
        path: Where the page goes; an existing one is replaced.

    Returns:
        `path`.

    Raises:
        FileNotFoundError: If one of the folders does not exist; the message names all that do not.
    """
    raise NotImplementedError
