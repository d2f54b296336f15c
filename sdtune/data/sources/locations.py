"""One location of pictures, or several with repeats, each read by the source that knows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

from sdtune.data.problems import Problem
from sdtune.data.sources.folder import no_such_folder
from sdtune.data.sources.registry import choose_source
from sdtune.data.sources.source import Asked, Listing
from sdtune.files.shipped_folder import shipped_datasets
from sdtune.files.text_file import read_text

__all__ = [
    "Location",
    "Part",
    "check_location",
    "found_location",
    "list_location",
    "overlaps",
    "plain_location",
]

Location = str | Path | Mapping[str, int]
"""A folder, or whatever else a source knows; or several of them -> their repeats."""


class Part(NamedTuple):
    """What was found at one of the locations.

    Attributes:
        location: The location.
        listing: Its pictures.
        title: What the source calls itself.
        repeats: How often an epoch shows the whole of it.
        prefix: What tells its pictures from those of the others; ends in `/` if there are any.
    """

    location: str
    listing: Listing
    title: str
    repeats: int = 1
    prefix: str = ""


def plain_location(location: Location) -> str | dict[str, int]:
    """Give a location as plain values, as they stand in a recipe."""
    if isinstance(location, Mapping):
        return {str(each): repeats for each, repeats in location.items()}
    return str(location)


def found_location(location: Location) -> Location:
    """Put picture sets that come with sdtune in the place of names, see `shipped_datasets`."""
    if isinstance(location, Mapping):
        return {shipped_datasets(str(each)): repeats for each, repeats in location.items()}
    return shipped_datasets(str(location))


def check_location(name: str, location: Location) -> None:
    """Check what can be checked without a look at the disk.

    Args:
        name: The argument.
        location: What was given.

    Raises:
        ValueError: If there are no locations, or repeats are no positive integers.
    """
    if not isinstance(location, Mapping):
        if not str(location).strip():
            raise ValueError(f"Expected `{name}` to name a folder, but got {str(location)!r}.")
        return
    if not location:
        raise ValueError(f"Expected `{name}` to hold a folder or more, but got none.")
    wrong = [each for each, repeats in location.items() if repeats < 1]
    if wrong:
        raise ValueError(
            f"Expected the repeats of each folder in `{name}` to be a positive integer, but got "
            f"{', '.join(f'{location[each]} for {each}' for each in wrong)}."
        )


def list_location(location: Location, asked: Asked, source: str | None = None) -> list[Part]:
    """List the pictures of one location or of several.

    Args:
        location: Where they are.
        asked: How they are to be read.
        source: The source that reads them; None looks.

    Returns:
        A part for each location.

    Raises:
        ValueError: If there is no source of that name.
    """
    if not isinstance(location, Mapping):
        return [_list_one(str(location), asked, source)]
    prefixes = _prefixes([str(each) for each in location])
    return [
        _list_one(str(each), asked, source)._replace(repeats=repeats, prefix=prefix)
        for (each, repeats), prefix in zip(location.items(), prefixes, strict=True)
    ]


def overlaps(location: Location) -> list[Problem]:
    """Say which of several folders lie within others."""
    if not isinstance(location, Mapping):
        return []
    paths = {str(each): Path(each).resolve() for each in location}
    return [
        Problem(inner, f"lies within {outer}, so that its pictures would be taken twice; name one.")
        for inner, outer in permutations(paths, 2)
        if paths[inner].is_relative_to(paths[outer])
    ]


def _list_one(location: str, asked: Asked, source: str | None) -> Part:
    called, location = location, _of_hub_cache(location)
    try:
        choice = choose_source(location, source)
        if choice is None:
            problem = no_such_folder(location)
            return Part(location, Listing(Path(location), problems=[problem]), "")
        listing = choice.source.list(location, asked)
    except OSError as error:
        problem = Problem(location, f"cannot be read ({error}); make it readable, or name another.")
        return Part(location, Listing(Path(location), problems=[problem]), "")
    title = choice.source.title
    if location != called:
        title += f" (revision {Path(location).name} in a cache of the hub)"
    if choice.others:
        seen = " and ".join(f"`{each.name}` ({sign.evidence})" for each, sign in choice.others)
        title += f" (it looks like {seen} too: `data.source` chooses)"
    return Part(location, listing, title)


def _of_hub_cache(location: str) -> str:
    """Give the folder of the current revision, of a repository in the hub's cache; else itself."""
    folder = Path(location)
    try:
        revisions = [each.name for each in (folder / "snapshots").iterdir() if each.is_dir()]
        main = read_text(folder / "refs" / "main", largest=100).strip()
    except (OSError, ValueError):
        return location
    return str(folder / "snapshots" / main) if main in revisions else location


def _prefixes(locations: list[str]) -> list[str]:
    """Name folders below the one that holds them all."""
    paths = [os.path.abspath(each) for each in locations]
    if len(paths) == 1:
        return [""]
    try:
        common = os.path.commonpath(paths)
    except ValueError:  # on several drives
        return [f"{number}/" for number in range(len(paths))]
    return [f"{Path(os.path.relpath(each, common)).as_posix()}/" for each in paths]
