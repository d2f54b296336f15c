"""What a source of pictures is: it recognises a location by a look, and lists what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from sdtune.data.problems import Problem

__all__ = ["Asked", "Listed", "Listing", "Sign", "Source"]


@dataclass(frozen=True)
class Asked:
    """How pictures are to be read.

    Attributes:
        caption: The caption of every picture; None reads those that are there.
        caption_column: Where tables and metadata hold captions; None finds it.
        image_column: Where tables hold pictures; None finds it.
        cache_dir: Where pictures that are no files are written to; None is `$SDTUNE_CACHE` or
            `~/.cache/sdtune`.
        optional: Whether a picture of the user's own files may lack a caption; it then has an
            empty one.
    """

    caption: str | None = None
    caption_column: str | None = None
    image_column: str | None = None
    cache_dir: str | Path | None = None
    optional: bool = False


@dataclass(frozen=True)
class Sign:
    """What a look at a location shows.

    Attributes:
        evidence: What was seen, such as "state.json and dataset_info.json".
        certainty: 2 for a file that only this layout has and that says what the pictures are, 1
            for names that fit, 0 for what any folder would pass as. The highest is read.
    """

    evidence: str
    certainty: Literal[0, 1, 2]


@dataclass(frozen=True, slots=True)
class Listed:
    """A picture as a source found it; nothing of it was opened yet.

    Attributes:
        path: The file.
        name: What it is called there, below the listing's root where it is a file of the user's.
        captions: What it shows, if that is said; without any it is not trained on, and the
            listing's problems say why.
        repeats: How often an epoch shows it.
        mask: A picture beside it of which part of it counts.
        origin: Where the user finds it, if that is not `path`.
    """

    path: Path
    name: str
    captions: Sequence[str] = ()
    repeats: int = 1
    mask: Path | None = None
    origin: str = ""


@dataclass(frozen=True)
class Listing:
    """What a source found at a location.

    Attributes:
        root: The folder that all files lie below.
        pictures: The pictures, in the order that training knows them by.
        summary: What is special here, such as "2 subjects with repeats 10 and 5"; may be empty.
        problems: What keeps it, or some of it, from being trained on. A picture that one of them
            is about is left out where that is asked for.
        notes: A sentence for each thing to know, such as what was left out.
        passed_over: Files that are neither pictures nor captions.
    """

    root: Path
    pictures: Sequence[Listed] = ()
    summary: str = ""
    problems: Sequence[Problem] = ()
    notes: Sequence[str] = ()
    passed_over: Sequence[Path] = ()


class Source(Protocol):
    """A way in which people keep pictures.

    A new one is a file with such a class and a line in `sdtune.data.sources.registry`.

    Attributes:
        name: What `data.source` calls it.
        title: What the log calls it, such as "kohya's folders".
    """

    @property
    def name(self) -> str:
        """Name it for `data.source`."""
        ...

    @property
    def title(self) -> str:
        """Name it for people."""
        ...

    def recognise(self, location: str) -> Sign | None:
        """Look whether a location is of this kind, without reading the pictures.

        Args:
            location: A folder, a file, a pattern, or a name on the hub, as `data.folder` gives it.

        Returns:
            What tells it; None if nothing does.
        """
        ...

    def list(self, location: str, asked: Asked) -> Listing:
        """List the pictures of a location.

        Args:
            location: Where they are.
            asked: How they are to be read.

        Returns:
            What was found. Pictures that are no files were written into the cache.

        Raises:
            OSError: If something there cannot be read, or the cache cannot be written.
        """
        ...
