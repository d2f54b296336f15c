"""Pictures and captions in the tables of the library `datasets`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from sdtune._imports import DATASETS_AVAILABLE
from sdtune.data.captions import several_note
from sdtune.data.image_folder import find_pictures, name_below
from sdtune.data.problems import Problem
from sdtune.data.same_name import ByName
from sdtune.data.sources.picture_store import PictureStore
from sdtune.data.sources.source import Asked, Listed, Listing
from sdtune.files.confined_path import lies_within

__all__ = ["list_tables", "needs_datasets", "read_problem"]

_PICTURE_NAMES = ("image", "images", "picture", "img", "jpg", "jpeg", "png", "webp")
_CAPTION_NAMES = ("text", "caption", "prompt", "description", "captions", "texts", "txt")


@dataclass(frozen=True)
class _Columns:
    image: str
    caption: str | None


class _Files(NamedTuple):
    """The folder that rows name files of, and its pictures by their names."""

    folder: Path
    pictures: ByName[Path]


def needs_datasets(location: str, what: str) -> list[Problem]:
    """Say that the library is needed; nothing if it is there."""
    if DATASETS_AVAILABLE:
        return []
    needed = f'{what} is read by `datasets`; pip install "sdtune[data]".'
    return [Problem(location, needed)]


def read_problem(location: str, error: Exception) -> Problem:
    """Say that the library could not read a location."""
    reason = " ".join(str(error).split()).rstrip(".")[:300] or type(error).__name__
    what = f"cannot be read by `datasets` ({reason}); see whether it is whole."
    return Problem(location, what)


def list_tables(
    location: str, tables: Mapping[str, Any], asked: Asked, files: Path | None = None
) -> Listing:
    """List the pictures of a data set, those that are no files written into the cache.

    Of several splits `train` alone is read, or all if there is none of that name.

    Args:
        location: What the user calls it.
        tables: Split -> `datasets.Dataset`.
        asked: How it is to be read.
        files: The folder whose files its pictures are; None if they are in its tables. Pictures
            in tables are never read from elsewhere.

    Returns:
        What was found. A picture in a table is called by its row.
    """
    store = PictureStore(asked.cache_dir)
    root = files or store.folder
    below = None if files is None else _Files(files, _by_name(files))
    read = ["train"] if "train" in tables else list(tables)
    no_rows = Problem(location, "holds no rows; choose another.")
    columns = _find_columns(location, tables[read[0]].features, asked) if read else no_rows
    if isinstance(columns, Problem):
        return Listing(root, problems=[columns])
    pictures: list[Listed] = []
    problems: list[Problem] = []
    for split in read:
        prefix = f"{split}/" if len(read) > 1 else ""
        for number, row in _rows(tables[split], columns):
            name = f"{prefix}{number:06d}"
            listed = _listed(location, name, row, columns, asked, store, below)
            if isinstance(listed, Problem):
                problems.append(listed)
                continue
            pictures.append(listed)
            if not listed.captions:
                what = f"has no caption in `{columns.caption}`; write one."
                problems.append(Problem(f"{location}/{listed.name}", what))
    if files is not None:
        pictures = _of_several_rows(pictures)
    if not pictures and not problems:
        problems = [no_rows]
    left = [split for split in tables if split not in read]
    notes = [f"{location}: only `train` is read, not {', '.join(left)}."] if left else []
    summary = f"pictures in `{columns.image}`"
    if columns.caption is not None:
        summary += f", captions in `{columns.caption}`"
        notes += several_note(each.captions for each in pictures)
    return Listing(root, pictures, summary, problems, notes)


def _find_columns(location: str, features: Mapping[str, Any], asked: Asked) -> _Columns | Problem:
    """Find the columns of pictures and captions, or say that there are none."""
    listed = ", ".join(f"`{each}`" for each in features)
    for option, name in (("image", asked.image_column), ("caption", asked.caption_column)):
        if name is not None and name not in features:
            return Problem(
                location,
                f"has no column `{name}`; give one of {listed} as `data.{option}_column`.",
            )
    image = asked.image_column or _named_first(
        _PICTURE_NAMES,
        [name for name, feature in features.items() if type(feature).__name__ == "Image"],
        [name for name, feature in features.items() if _dtype(feature) in _BYTES],
    )
    if image is None:
        return Problem(
            location,
            f"none of its columns ({listed}) holds pictures; name the one that does by "
            "`data.image_column`.",
        )
    if asked.caption is not None:
        return _Columns(image, None)
    texts = [name for name in features if _is_text(features[name]) and name != image]
    caption = asked.caption_column or _named_first(_CAPTION_NAMES, texts)
    if caption is None or (asked.caption_column is None and not _is_clear(caption, texts)):
        return Problem(
            location,
            f"it is not clear which of its columns ({listed}) holds captions; name it by "
            "`data.caption_column`.",
        )
    return _Columns(image, caption)


_BYTES = ("binary", "large_binary")


def _dtype(feature: Any) -> str:
    return str(getattr(feature, "dtype", ""))


def _is_text(feature: Any) -> bool:
    return _dtype(_inner(feature)) in ("string", "large_string")


def _inner(feature: Any) -> Any:
    """Give what a list holds; anything else holds itself."""
    if isinstance(feature, list):
        return feature[0]
    return getattr(feature, "feature", feature)


def _is_clear(caption: str, texts: Sequence[str]) -> bool:
    return caption in _CAPTION_NAMES or len(texts) == 1


def _named_first(names: Sequence[str], *columns: Sequence[str]) -> str | None:
    """Choose the first column of the first kind that there is, one of the usual names before."""
    for kind in columns:
        if kind:
            return next((name for name in names if name in kind), kind[0])
    return None


def _rows(table: Any, columns: _Columns) -> Iterator[tuple[int, dict[str, Any]]]:
    names = [columns.image] + ([columns.caption] if columns.caption else [])
    table = table.select_columns(list(dict.fromkeys(names)))
    if type(table.features[columns.image]).__name__ == "Image":
        import datasets

        table = table.cast_column(columns.image, datasets.Image(decode=False))
    yield from enumerate(table)


def _listed(
    location: str,
    name: str,
    row: Mapping[str, Any],
    columns: _Columns,
    asked: Asked,
    store: PictureStore,
    files: _Files | None,
) -> Listed | Problem:
    cell = row[columns.image]
    data = cell.get("bytes") if isinstance(cell, Mapping) else cell
    named = str(cell.get("path") or "") if isinstance(cell, Mapping) else ""
    captions = _captions(row, columns, asked)
    if files is not None and named and not data:
        return _listed_file(files, Path(named), captions)
    if not isinstance(data, bytes) or not data:
        what = f"names the file {named} and does not hold it" if named else "holds no picture"
        return Problem(f"{location}/{name}", f"{what}; save the data set with its pictures.")
    path = store.put(data, named)
    name += path.suffix
    return Listed(path, name, captions, origin=f"{location}/{name}")


def _by_name(folder: Path) -> ByName[Path]:
    name_of = name_below(folder)
    return ByName((name_of(path), path) for path in find_pictures(folder))


def _listed_file(files: _Files, path: Path, captions: Sequence[str]) -> Listed | Problem:
    """List a file that metadata name, if it lies in their folder; accents may be written anew."""
    below, here = Path(os.path.abspath(path)), Path(os.path.abspath(files.folder))
    name = below.relative_to(here) if below.is_relative_to(here) else Path(path.name)
    called = next((each.relative_to(files.folder) for each in files.pictures.get(name)), name)
    if not lies_within(path, files.folder) or (
        called != name and not lies_within(files.folder / called, files.folder)
    ):
        return Problem(str(path), f"lies outside of {files.folder}; copy the picture there.")
    return Listed(files.folder / called, called.as_posix(), captions)


def _of_several_rows(pictures: Iterable[Listed]) -> list[Listed]:
    """Join the rows of one file, whose captions are then several."""
    joined: dict[Path, Listed] = {}
    for each in pictures:
        before = joined.get(each.path, each)
        captions = list(dict.fromkeys([*before.captions, *each.captions]))
        joined[each.path] = replace(each, captions=captions)
    return list(joined.values())


def _captions(row: Mapping[str, Any], columns: _Columns, asked: Asked) -> list[str]:
    if columns.caption is None:
        return [asked.caption or ""]
    value = row[columns.caption]
    texts = value if isinstance(value, list) else [value]
    joined = [" ".join(str(each).split()) for each in texts if each is not None]
    return list(dict.fromkeys(filter(None, joined)))
