"""Hugging Face's imagefolder: metadata files in nested folders, read by `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sdtune._checks import shortened
from sdtune.data.captions import METADATA_NAMES, metadata_problems
from sdtune.data.image_folder import find_pictures, is_folder
from sdtune.data.problems import Problem
from sdtune.data.sources.dataset_rows import list_tables, needs_datasets, read_problem
from sdtune.data.sources.folder import no_such_folder
from sdtune.data.sources.masks import masks_note, masks_of
from sdtune.data.sources.source import Asked, Listing, Sign
from sdtune.files.cache_folder import default_cache_dir

__all__ = ["ImageFolderSource"]

_PARQUET = "metadata.parquet"
_NAMES = (*METADATA_NAMES, _PARQUET)
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
        import datasets

        cache = Path(asked.cache_dir).expanduser() if asked.cache_dir else default_cache_dir()
        try:
            tables = datasets.load_dataset(
                "imagefolder", data_dir=str(folder), cache_dir=str(cache / "imagefolder")
            )
        except Exception as error:  # as many kinds as there are readers below it
            problems = list(_metadata_problems(folder)) or [read_problem(location, error)]
            return Listing(folder, problems=problems)
        return _beside(folder, list_tables(location, tables, asked, files=folder), len(tables))


def _beside(folder: Path, listing: Listing, splits: int) -> Listing:
    """Add the masks that lie beside the pictures, and say which pictures no row names."""
    named = {each.path for each in listing.pictures}
    found = find_pictures(folder)
    masks = {of: mask for of, mask in masks_of(found).items() if of in named and mask not in named}
    left = (
        []
        if splits > 1 or not named
        else [each for each in found if each not in {*named, *masks.values()}]
    )
    notes = [*listing.notes, *masks_note(len(masks))]
    if left:
        notes.append(
            f"{folder}: the metadata name {len(left)} of its pictures nowhere, and they are left "
            f"out, such as {left[0]}."
        )
    pictures = [replace(each, mask=masks.get(each.path)) for each in listing.pictures]
    return replace(listing, pictures=pictures, notes=notes)


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
