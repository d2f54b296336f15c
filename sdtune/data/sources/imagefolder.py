"""Hugging Face's imagefolder: metadata files in nested folders, read by `datasets`."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import replace
from glob import escape
from itertools import islice
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune._wording import counted
from sdtune.data.captions import (
    CAPTION_SUFFIXES,
    METADATA_NAMES,
    metadata_problems,
    read_sidecars,
)
from sdtune.data.image_folder import find_files, find_pictures, is_folder
from sdtune.data.masks import masks_note, masks_of
from sdtune.data.problems import Problem
from sdtune.data.same_name import ByName
from sdtune.data.sources.dataset_rows import list_tables, needs_datasets, read_problem
from sdtune.data.sources.folder import no_such_folder
from sdtune.data.sources.source import Asked, Listed, Listing, Sign
from sdtune.data.sources.split_folders import split_note, training_splits
from sdtune.files.cache_folder import default_cache_dir

__all__ = ["ImageFolderSource"]

_PARQUET = "metadata.parquet"
_NAMES = (*METADATA_NAMES, _PARQUET)
_SUFFIXES = frozenset(Path(name).suffix for name in _NAMES)
_LOOKED_AT = 1000  # folders, each of up to two levels


class ImageFolderSource:
    """Folders, such as splits, each with a `metadata.jsonl`, `.csv` or `.parquet` of its own.

    One `metadata.jsonl` or `.csv` in the folder itself is read without `datasets`, by `folder`.
    """

    name = "imagefolder"
    title = "Hugging Face's imagefolder"

    def recognise(self, location: str) -> Sign | None:
        """See whether metadata files lie below; a `metadata.parquet` in the folder is certain."""
        folder = Path(location)
        if not folder.is_dir():
            return None
        if (folder / _PARQUET).is_file():
            return Sign(_PARQUET, 2)
        found = next(_nested_metadata(folder), None)
        return Sign(found.relative_to(folder).as_posix(), 1) if found else None

    def list(self, location: str, asked: Asked) -> Listing:
        """List what the metadata name."""
        folder = Path(location)
        problems = needs_datasets(location, "a folder with nested metadata")
        if not problems and not folder.is_dir():
            problems = [no_such_folder(location)]
        if problems:
            return Listing(folder, problems=problems)
        metadata = [path for path in find_files(folder, _SUFFIXES) if path.name in _NAMES]
        read = _of_train(folder, metadata) or metadata
        try:
            tables = _load(folder, read, asked)
        except Exception as error:  # as many kinds as there are readers below it
            problems = list(_metadata_problems(folder)) or [read_problem(location, error)]
            return Listing(folder, problems=problems)
        listing = _in_order(list_tables(location, tables, asked, files=folder), read)
        unread = {each.parent for each in metadata if each not in read}
        listing, held_out = _without_held_out(location, folder, listing)
        return _beside(folder, listing, unread | held_out, compare=asked.caption is None)


def _of_train(folder: Path, metadata: Sequence[Path]) -> list[Path]:
    """Choose the metadata of splits for training; `train/` in the folder itself is one alone."""
    splits = training_splits(folder, {each.parent for each in metadata}) | {folder / "train"}
    return [each for each in metadata if _lies_in(each, splits)]


def _without_held_out(location: str, folder: Path, listing: Listing) -> tuple[Listing, set[Path]]:
    """Take out the pictures of other splits, where metadata lie above all of them.

    Args:
        location: As the user has it.
        folder: The same.
        listing: What the metadata name.

    Returns:
        The rest, and the folders of those that were taken out.
    """
    splits = training_splits(folder, {each.path.parent for each in listing.pictures})
    left = [each for each in listing.pictures if splits and not _lies_in(each.path, splits)]
    if not left:
        return listing, set()
    pictures = [each for each in listing.pictures if _lies_in(each.path, splits)]
    about = {f"{location}/{each.name}" for each in left}
    problems = [each for each in listing.problems if each.about not in about]
    kept = replace(listing, pictures=pictures, problems=problems)
    return kept, {each.path.parent for each in left}


def _lies_in(path: Path, folders: Set[Path]) -> bool:
    return not folders.isdisjoint(path.parents)


def _load(folder: Path, metadata: Sequence[Path], asked: Asked) -> Mapping[str, Any]:
    """Read metadata as one table, or where there are none all pictures."""
    import datasets

    cache = Path(asked.cache_dir).expanduser() if asked.cache_dir else default_cache_dir()
    names = [escape(path.relative_to(folder).as_posix()) for path in metadata] or ["**"]
    tables: Mapping[str, Any] = datasets.load_dataset(
        "imagefolder",
        data_dir=str(folder),
        data_files={"train": names},
        cache_dir=str(cache / "imagefolder"),
    )
    return tables


def _in_order(listing: Listing, metadata: Sequence[Path]) -> Listing:
    """Put pictures in the order of several metadata, which `datasets` reads in any order."""
    if len(metadata) < 2:
        return listing
    places = {path.parent: place for place, path in enumerate(metadata)}

    def place(picture: Listed) -> int:
        return next((places[each] for each in picture.path.parents if each in places), -1)

    return replace(listing, pictures=sorted(listing.pictures, key=place))


def _beside(folder: Path, listing: Listing, unread: Set[Path], *, compare: bool) -> Listing:
    """Add what lies beside the pictures: masks, captions that differ, pictures that no row names.

    Args:
        folder: The folder.
        listing: What the metadata name.
        unread: Folders whose metadata, or whose pictures, are not read.
        compare: Whether captions beside pictures are compared with those in the metadata.
    """
    found = find_pictures(folder)
    masks = masks_of(found)
    listed = [each for each in listing.pictures if each.path not in {*masks.values()}]
    named = {each.path: each.captions for each in listed}
    left = {*found} - {*named, *masks.values()} if named else set()
    elsewhere = {each for each in left if not unread.isdisjoint(each.parents)}
    masks = {of: mask for of, mask in masks.items() if of in named}
    notes = [*listing.notes, *masks_note(len(set(masks.values())))]
    notes += _split_notes(folder, {each.parent for each in named}, unread, len(elsewhere))
    if left - elsewhere:
        notes.append(
            f"{folder}: the metadata name {len(left - elsewhere)} of its pictures nowhere, and "
            f"they are left out, such as {min(left - elsewhere)}."
        )
    problems = [*listing.problems, *(_disagreeing(folder, found, named) if compare else [])]
    pictures = [replace(each, mask=masks.get(each.path)) for each in listed]
    return replace(listing, pictures=pictures, problems=problems, notes=notes)


def _split_notes(folder: Path, inside: Set[Path], unread: Set[Path], left: int) -> list[str]:
    """Say which split is read, and what is trained on that is called as one and is none."""
    splits = training_splits(folder, inside) | ({folder / "train"} if unread else set())
    notes = split_note(folder, inside, splits)
    if unread:
        read = {each.name for each in splits if any(path.is_relative_to(each) for path in inside)}
        only = ", ".join(f"`{name}`" for name in sorted(read) or ["train"])
        names = ", ".join(sorted(path.relative_to(folder).as_posix() for path in unread)[:20])
        are = counted(left, "picture is", "pictures are")
        notes.insert(
            0,
            f"{folder}: only {only} {'are' if len(read) > 1 else 'is'} read, not {names}; {are} "
            "left out there.",
        )
    return notes


def _disagreeing(
    folder: Path, found: Sequence[Path], named: Mapping[Path, Sequence[str]]
) -> Iterator[Problem]:
    """Find the pictures whose captions in files beside them are not those in the metadata."""
    texts = ByName((each.with_suffix(""), each) for each in find_files(folder, CAPTION_SUFFIXES))
    with_text = defaultdict(list)
    for path in found:
        if path in named and texts.get(path.with_suffix("")):
            with_text[path.parent].append(path)
    for parent, here in with_text.items():
        captions, problems = read_sidecars(parent, here)
        yield from (each for each in problems if each.picture)
        for path, beside in captions.items():
            if {*beside} != {*named[path]}:
                what = (
                    "its captions disagree, in files beside it and in metadata; keep one of them."
                )
                yield Problem(str(path), what)


def _metadata_problems(folder: Path) -> Iterator[Problem]:
    """Say which metadata are wrong, and how, where the library says no more than that."""
    here = (folder / name for name in _NAMES)
    for path in (*filter(Path.is_file, here), *_nested_metadata(folder)):
        if path.name == _PARQUET:
            from pyarrow import ArrowException, parquet

            try:
                names = parquet.read_schema(path).names
            except (ArrowException, OSError, ValueError) as error:
                reason = " ".join(str(error).split())
                yield Problem(str(path), f"is no whole Parquet file ({reason}); write it again.")
                continue
            if not any(name.endswith(("file_name", "file_names")) for name in names):
                what = f"names the columns {shortened(names)} and not `file_name`; add it."
                yield Problem(str(path), what)
        else:
            yield from metadata_problems(path, folder)


def _nested_metadata(folder: Path) -> Iterator[Path]:
    for parent in islice(_folders(folder, levels=2), _LOOKED_AT):
        yield from (parent / name for name in _NAMES if (parent / name).is_file())


def _folders(folder: Path, levels: int) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        below = sorted(
            Path(each.path) for each in entries if is_folder(each) and each.name[0] != "."
        )
    yield from below
    if levels > 1:
        for each in below:
            yield from _folders(each, levels - 1)
