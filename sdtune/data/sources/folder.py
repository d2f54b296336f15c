"""A folder of pictures with captions beside them, or in one metadata file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from sdtune._wording import counted
from sdtune.data.captions import (
    CAPTION_SUFFIXES,
    METADATA_NAMES,
    NOTES,
    read_captions,
    several_note,
)
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.image_folder import holds_pictures, linked_folders, list_files, name_below
from sdtune.data.masks import masks_note, masks_of
from sdtune.data.problems import Problem
from sdtune.data.sources.source import Asked, Listed, Listing, Sign
from sdtune.files.confined_path import roots

__all__ = [
    "DATE",
    "KOHYA_NAME",
    "MOST_REPEATS",
    "FolderSource",
    "folder_links",
    "imagefolder_note",
    "link_problem",
    "links_out",
    "no_pictures",
    "no_such_folder",
    "passed_over",
]

KOHYA_NAME = re.compile(r"(\d+)_(.*\S.*)")
"""Of kohya's folders: repeats and class tokens, `10_sks cat`."""

MOST_REPEATS = 1000
"""A number above is a year, a date or a slip: nobody shows a picture so often in an epoch."""

_MONTH = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|"
    "oct(ober)?|nov(ember)?|dec(ember)?)"
)
DATE = re.compile(
    r"\d+_\d+[._-]\d{4}|\d\d?_\d\d?[._-]\d\d(?!\d)"
    rf"|\d\d?_{_MONTH}[ ._-](\d{{4}}|\d\d)(?!\d)",
    re.IGNORECASE,
)
"""A date, and no repeats, that a folder's name begins with: `12_05_2023_wedding`, `3_May_23`."""

_NAMED = 20  # in a sentence


class FolderSource:
    """Pictures at any depth, captions in files of the same name or in the folder's metadata.

    `metadata.jsonl` or `metadata.csv` lies in the folder itself and has `file_name` and `text`.
    """

    name = "folder"
    title = "a folder of pictures"

    def recognise(self, location: str) -> Sign | None:
        """See whether it is a folder; metadata in it are certain."""
        folder = Path(location)
        if not folder.is_dir():
            return None
        found = [name for name in METADATA_NAMES if (folder / name).is_file()]
        return Sign(found[0], 2) if found else Sign("a folder", 0)

    def list(self, location: str, asked: Asked) -> Listing:
        """List pictures at any depth, with their captions."""
        folder = Path(location)
        if not folder.is_dir():
            return Listing(
                folder,
                problems=[no_such_folder(location)],
            )
        files = list_files(folder)
        paths = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
        link_problems, link_notes = folder_links(folder)
        if not paths:
            return Listing(
                folder,
                problems=[
                    no_pictures(folder),
                    *link_problems,
                ],
            )
        links = links_out(folder, paths)
        masks = masks_of(paths)
        not_trained_on = {*links, *masks.values()}
        paths = [path for path in paths if path not in not_trained_on]
        problems = [*link_problems, *(link_problem(path) for path in sorted(links))]
        spoilt: set[str] = set()
        if asked.caption is None:
            captions, caption_problems = read_captions(
                folder, paths, asked.caption_column, optional=asked.optional
            )
            problems += caption_problems
            spoilt = {name for each in caption_problems for name in (each.about, each.picture)}
        else:
            captions = {path: [asked.caption] for path in paths}
        # whose caption is there and cannot be used is not trained on as if it had none
        may_lack = asked.optional and str(folder) not in spoilt
        name_of = name_below(folder)
        pictures = [
            Listed(
                path,
                name_of(path),
                captions.get(path, [""] if may_lack and str(path) not in spoilt else []),
                mask=masks.get(path),
            )
            for path in paths
        ]
        return Listing(
            folder,
            pictures,
            problems=problems,
            notes=[
                *several_note(captions.values()),
                *masks_note(len(set(masks.values()))),
                *_kohya_note(folder, paths),
                *(imagefolder_note(folder, files) if asked.caption is None else []),
                *link_notes,
            ],
            passed_over=passed_over(files),
        )


def _kohya_note(folder: Path, paths: Sequence[Path]) -> list[str]:
    """Say that folders are named as kohya's, whose repeats would count elsewhere."""
    parents = {path.parent for path in paths} - {folder}
    named = sorted(
        each
        for each in parents
        if (match := KOHYA_NAME.fullmatch(each.name))
        and 0 < int(match[1]) <= MOST_REPEATS
        and not DATE.match(each.name)
    )
    if not named:
        return []
    first = named[0]
    how = "`data.source: kohya` reads" if first.parent == folder else f"name {first.parent} to read"
    return [
        f"{folder}: {first.relative_to(folder).as_posix()} is named as kohya names folders, "
        f"but its repeats and name do not count here; {how} them."
    ]


def imagefolder_note(folder: Path, files: Sequence[Path], lost: str = "") -> list[str]:
    """Say that metadata in folders below are not read, in a sentence or none.

    Args:
        folder: The folder, whose own metadata are none of them.
        files: Files below it.
        lost: What does not count where they are read, if anything.
    """
    named = [each for each in files if each.name in (*METADATA_NAMES, "metadata.parquet")]
    unread = [each.relative_to(folder).as_posix() for each in named if each.parent != folder]
    if not unread:
        return []
    are, them = ("is", "it") if len(unread) == 1 else ("are", "them")
    names, lost = ", ".join(unread[:_NAMED]), f", where {lost}" if lost else ""
    how = f"`data.source: imagefolder` reads {them}{lost}."
    return [f"{folder}: {names} {are} not read here; {how}"]


def passed_over(files: Sequence[Path]) -> list[Path]:
    """List the files that are neither pictures nor captions, nor notes such as a README."""
    meant = {*IMAGE_SUFFIXES, *CAPTION_SUFFIXES}
    return [
        path
        for path in files
        if path.suffix.lower() not in meant
        and path.name not in METADATA_NAMES
        and path.stem.lower() not in NOTES
    ]


def links_out(folder: Path, paths: Sequence[Path]) -> set[Path]:
    """Find the links that lead out of a folder.

    Args:
        folder: The folder.
        paths: Files below it.

    Returns:
        Those that lie elsewhere, once all links are followed.
    """
    inside = roots(folder)
    links = (path for path in paths if path.is_symlink())
    # unlike `resolve`, it lets a link to itself pass, which then does not open
    real = {path: Path(os.path.realpath(path)) for path in links}
    return {
        path for path, to in real.items() if not any(to.is_relative_to(root) for root in inside)
    }


def no_such_folder(location: str) -> Problem:
    """Say that a location is none, and what to do."""
    what = "is a file, and " if Path(location).is_file() else ""
    return Problem(location, f"{what}there is no such folder; name the one with the pictures.")


def no_pictures(folder: Path) -> Problem:
    """Say that a folder has nothing to train on, and what to do."""
    return Problem(str(folder), "holds no pictures; put PNG, JPEG or WebP files into it.")


def folder_links(folder: Path) -> tuple[list[Problem], list[str]]:
    """Find the links to folders of pictures, into which nothing looks.

    Args:
        folder: The folder that they are in, at any depth.

    Returns:
        A problem for each that leads out of the folder, and a sentence or none on those that do
        not, whose pictures are found where they are.
    """
    links = [each for each in linked_folders(folder) if holds_pictures(each)]
    outside = links_out(folder, links)
    problems = [
        Problem(
            str(each),
            "is a link to a folder outside, whose pictures are not read; copy them there, or name "
            "their folder as well.",
        )
        for each in sorted(outside)
    ]
    inside = [each for each in links if each not in outside]
    if not inside:
        return problems, []
    lead = counted(len(inside), "link leads to a folder", "links lead to folders")
    return problems, [
        f"{folder}: {lead} within, such as {inside[0].relative_to(folder).as_posix()}; the "
        "pictures there are read once."
    ]


def link_problem(path: Path) -> Problem:
    """Say that a file is a link out of its folder, and what to do."""
    return Problem(str(path), "is a link out of the folder; copy the picture there.")
