"""What a comparison writes into its folder, and what the folders of its runs may be called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from sdtune.run_folder.layout import BASE_LABEL, REPORT

__all__ = [
    "CONTENT",
    "STARTS",
    "TEXT",
    "TUNE",
    "distinct_names",
    "figure_name",
    "name_problem",
    "run_name",
]

TEXT = "README.md"
CONTENT = "comparison.json"
STARTS = "starts"
"""Folder of what belongs to the starts of runs."""

TUNE = "tune"
"""Folder of what Ray Tune keeps."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_FIGURE = re.compile(r"figure_.*\.png")
_OWN = (TEXT, CONTENT, REPORT, STARTS, TUNE)
_NO_NAME = re.compile(r"[^\w.-]+", re.ASCII)
_LONGEST = 80  # characters of a folder's name


def figure_name(number: int | str) -> str:
    """Name the file of a picture.

    Args:
        number: Which of the pictures, counted from 1; `*` for a pattern of all.
    """
    return f"figure_{number}.png"


def name_problem(name: str) -> str | None:
    """Say why a run cannot have a name, which becomes a folder's beside the results.

    Args:
        name: The name.

    Returns:
        A sentence; None if it can.
    """
    if not _NAME.fullmatch(name) or name == BASE_LABEL:
        return (
            "Expected each key of `runs` to be a folder's name of letters, digits, `_`, `-` and "
            f"`.`, other than `{BASE_LABEL}`, but got `{name}`."
        )
    lower = name.lower()  # some file systems take both for one
    if lower in map(str.lower, _OWN) or _FIGURE.fullmatch(lower):
        own = ", ".join(f"`{each}`" for each in _OWN)
        return (
            f"Expected no key of `runs` to be what a comparison writes itself, {own} and figures, "
            f"but got `{name}`: call the run otherwise; its `label` may say the same."
        )
    return None


def run_name(words: str) -> str:
    """Make a name that a run can have of any words.

    Args:
        words: Such as a recipe's name with settings.

    Returns:
        The words with `_` for spaces if that is a name, of plain letters and not too long; else
        what is left of them with a hash, by which words that differ keep different names.
    """
    plain = words.replace(" ", "_")
    name = _NO_NAME.sub("_", plain)
    if name == plain and len(name) <= _LONGEST and name_problem(name) is None:
        return name
    return _hashed_name(plain)  # what differs in other signs alone, or at its end, is another run


def distinct_names(words: Sequence[str]) -> list[str]:
    """Make a name of each of some words, which are all different; so are the names.

    Args:
        words: As for `run_name`.

    Returns:
        The names: what is a name already, as it is, and else as `run_name` has it. Of words that
        differ in spaces and `_` alone, the first with the fewest spaces has the plain name, and
        the others have a hash.
    """
    owners: dict[str, str] = {}
    for each in sorted(words, key=lambda each: each.count(" ")):
        owners.setdefault(each if name_problem(each) is None else run_name(each), each)
    plain = {owner: name for name, owner in owners.items()}
    return [plain.get(each) or _hashed_name(each) for each in words]


def _hashed_name(words: str) -> str:
    name = _NO_NAME.sub("_", words)[:_LONGEST]
    begin = name if name[:1].isalnum() else f"run{name}"
    return f"{begin}_{hashlib.sha256(words.encode()).hexdigest()[:8]}"
