"""Paths and names in a file: none leads out of the folder that it is joined to."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

__all__ = [
    "ConfinedPath",
    "confined_name",
    "is_confined",
    "lies_within",
    "links_out_of",
    "roots",
]

_MOST_BYTES = (
    180  # of 255 that systems allow; the rest is for a suffix and a temporary name's parts
)


def is_confined(path: str) -> bool:
    """Tell whether a path stays below the folder that it is joined to.

    Args:
        path: A path as a file names it.

    Returns:
        Whether it is not empty, not absolute, and nowhere goes up.
    """
    pure = PurePath(path)
    return bool(pure.parts) and not pure.anchor and ".." not in pure.parts and "\0" not in path


def confined_name(text: str) -> str:
    """Make the name of one file, without its suffix, of what a file says.

    Args:
        text: A text of somebody else's, such as `styles/ink v2`.

    Returns:
        Its last part, such as `ink v2`, without what cannot be printed, dots and spaces at its
        ends, and what is too long for a name; empty if nothing is left.
    """
    last = re.split(r"[/\\]", text)[-1]  # which parts it on one system parts it on all
    shown = "".join(each for each in last if each.isprintable()).strip(" .")
    return shown.encode()[:_MOST_BYTES].decode(errors="ignore").rstrip(" .")


def lies_within(path: Path, folder: Path) -> bool:
    """Tell whether a path is below a folder when all links are followed, see `roots`.

    Args:
        path: A path that a file names, joined to the folder, or that was found there. It need not
            exist.
        folder: The folder, which may itself be a link.

    Returns:
        Whether it is. Links in a circle lead nowhere.
    """
    try:
        real = path.resolve()
        return any(real.is_relative_to(root) for root in roots(folder))
    except (OSError, RuntimeError):
        return False


def roots(folder: Path) -> list[Path]:
    """Say where the files of a folder may lie when all links are followed.

    A revision in a cache of the Hugging Face hub holds links to the files of its repository, which
    lie beside it: `datasets--owner--name/snapshots/REVISION` and `datasets--owner--name/blobs`.

    Args:
        folder: The folder, which may itself be a link.

    Returns:
        The folder without links; and, below a `snapshots`, the `blobs` beside that.

    Raises:
        OSError: If a link leads nowhere, as does a circle of them.
    """
    real = folder.resolve()
    above = next((each for each in real.parents if each.name == "snapshots"), None)
    return [real] if above is None else [real, above.parent / "blobs"]


def links_out_of(folder: Path, names: Iterable[str]) -> list[Path]:
    """Find links below a folder that lead out of it.

    Args:
        folder: The folder, which may itself be a link; it need not exist.
        names: Files and folders in it, which are looked at with all below them.

    Returns:
        The links; none is followed.
    """
    found = [folder / name for name in names]
    for top in [each for each in found if not each.is_symlink()]:
        for where, folders, files in os.walk(top):
            found += [Path(where, name) for name in sorted([*folders, *files])]
    return [each for each in found if each.is_symlink() and not lies_within(each, folder)]


def _checked(path: str) -> str:
    if not is_confined(path):
        raise PydanticCustomError("expected", "to be a path below its folder")
    return path


ConfinedPath = Annotated[str, AfterValidator(_checked)]
"""A text that is checked by `is_confined` when it is read from a file."""
