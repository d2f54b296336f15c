"""Look things up by names of files, however their accents are written."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePath
from typing import Generic, TypeVar

__all__ = ["ByName", "one_form"]

Value = TypeVar("Value")


def one_form(name: str | PurePath) -> str:
    """Write a name in Unicode's composed form, with slashes.

    Macs write `é` as a letter and an accent, all others as one character: a picture that was copied
    from one and its caption, which was written elsewhere, have names of different bytes.

    Args:
        name: A name, or a path.
    """
    return unicodedata.normalize("NFC", name if isinstance(name, str) else name.as_posix())


class ByName(Generic[Value]):
    """Values by names, which are the same in any form of their accents.

    Where a folder holds names that differ in nothing else, each goes with the one of its own bytes.

    Args:
        items: Name and value of each; several may have one name.
    """

    def __init__(self, items: Iterable[tuple[str | PurePath, Value]]) -> None:
        self._items: dict[str, list[tuple[str, Value]]] = defaultdict(list)
        for name, value in items:
            written = name if isinstance(name, str) else name.as_posix()
            self._items[one_form(written)].append((written, value))

    def get(self, name: str | PurePath) -> list[Value]:
        """Give the values of a name, in their order; none if there is no such name."""
        written = name if isinstance(name, str) else name.as_posix()
        same = self._items.get(one_form(written), [])
        exact = [value for each, value in same if each == written]
        return exact or [value for _, value in same]
