"""All sources of pictures, and which of them reads a location."""

from __future__ import annotations

from typing import NamedTuple

from sdtune.data.sources.folder import FolderSource
from sdtune.data.sources.hub import HubSource
from sdtune.data.sources.imagefolder import ImageFolderSource
from sdtune.data.sources.kohya import KohyaSource
from sdtune.data.sources.saved_dataset import SavedDatasetSource
from sdtune.data.sources.source import Sign, Source
from sdtune.data.sources.webdataset import WebDatasetSource

__all__ = ["SOURCES", "Choice", "check_source", "choose_source", "register"]

SOURCES: dict[str, Source] = {}
"""Name -> source. Of two that are equally certain of a location, the first one reads it."""


class Choice(NamedTuple):
    """The source that reads a location.

    Attributes:
        source: The source.
        others: What other sources took the location for, each with what it saw.
    """

    source: Source
    others: list[tuple[Source, Sign]]


def register(source: Source) -> Source:
    """Add a source, which is asked after those that are there.

    Args:
        source: The source.

    Returns:
        The same.

    Raises:
        ValueError: If its name is none for a parameter, or another source has it.
    """
    if not source.name.isidentifier():
        raise ValueError(
            f"Expected the name of a source to be letters, digits and `_`, but got {source.name!r}."
        )
    if SOURCES.get(source.name, source) is not source:
        raise ValueError(f"Expected a source of a new name, but `{source.name}` is registered.")
    SOURCES[source.name] = source
    return source


def check_source(name: str | None) -> None:
    """Check that a source is registered; None, which looks, is always right.

    Raises:
        ValueError: If there is none of that name.
    """
    if name is not None and name not in SOURCES:
        names = ", ".join(f"`{each}`" for each in SOURCES)
        raise ValueError(f"Expected `source` to be one of {names} or None, but got {name!r}.")


def choose_source(location: str, name: str | None = None) -> Choice | None:
    """Choose what reads a location.

    Args:
        location: As `data.folder` gives it.
        name: The source to read it with; None looks what it is.

    Returns:
        The source that is most certain, or the first of those. None if no source knows it.

    Raises:
        ValueError: If there is no source of that name.
    """
    check_source(name)
    if name is not None:
        return Choice(SOURCES[name], [])
    signs = [(each, sign) for each in SOURCES.values() if (sign := each.recognise(location))]
    if not signs:
        return None
    chosen = max(signs, key=lambda each: each[1].certainty)  # the first of equals
    others = [each for each in signs if each is not chosen and each[1].certainty > 0]
    return Choice(chosen[0], others)


for _source in (
    SavedDatasetSource(),
    WebDatasetSource(),
    KohyaSource(),
    ImageFolderSource(),
    FolderSource(),
    HubSource(),
):
    register(_source)
