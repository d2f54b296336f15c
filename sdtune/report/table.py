"""A table of text, as a page shows it and as other rooms hand it over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Table"]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Args:
        title: What the table shows.
        columns: The heads of the columns; the first names the rows.
        rows: Texts, as many in each row as there are columns; what stands in further lines of a
            text explains its first.
        note: Plain words below the table: what it means, and what it does not.
        meanings: Terms of the table, each with what it means.

    Raises:
        ValueError: If a row has more or fewer cells than there are columns.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    meanings: Sequence[tuple[str, str]] = ()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"Expected row {number} of the table {self.title!r} to have "
                    f"{len(self.columns)} cells, one for each column, but got {len(row)}."
                )
