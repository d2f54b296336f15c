"""Read the captions of a folder of pictures: sidecar files, metadata.jsonl or metadata.csv."""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from sdtune._checks import shortened
from sdtune._wording import counted
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.image_folder import find_files, find_pictures, name_below
from sdtune.data.masks import masks_of
from sdtune.data.metadata_rows import (
    METADATA_NAMES,
    is_caption,
    metadata_problems,
    metadata_rows,
    unreadable,
)
from sdtune.data.problems import Problem
from sdtune.data.same_name import ByName
from sdtune.files.confined_path import is_confined
from sdtune.files.text_file import read_text

__all__ = [
    "CAPTION_SUFFIXES",
    "METADATA_NAMES",
    "NOTES",
    "caption_lines",
    "metadata_problems",
    "read_captions",
    "read_metadata",
    "read_sidecars",
    "several_note",
]

CAPTION_SUFFIXES = (".txt", ".caption")

_LARGEST_CAPTION = 1_000_000  # bytes

# text files that lie beside pictures and are nobody's caption
NOTES = frozenset({"attribution", "copyright", "credits", "licence", "license", "notice", "readme"})


class _Entry(NamedTuple):
    picture: Path
    source: str
    captions: Sequence[str]
    place: str  # what is read as one: the files beside a picture, or a metadata file


class _Unknown(NamedTuple):
    name: str  # of a picture that a row is about, and of which nothing is known


def read_captions(
    folder: Path, pictures: Sequence[Path], column: str | None = None, *, optional: bool = False
) -> tuple[dict[Path, list[str]], list[Problem]]:
    """Join pictures with their captions.

    Captions are the lines of a UTF-8 file beside the picture with the picture's stem (`cat.png`:
    `cat.txt`, `cat.caption` or both), or of the folder's `metadata.jsonl` or `metadata.csv`, in
    which a row has `file_name` (relative to the folder) and `text`, a text or a list of them. A
    picture has as many as there are: lines, files beside it, items of a list, rows. Runs of spaces
    become one space. Between files beside a picture and metadata none goes before the other: where
    these differ, that is a problem.

    Args:
        folder: The folder that holds the pictures.
        pictures: The pictures below it, as `find_pictures` lists them.
        column: What metadata call a caption; None is `text`.
        optional: Whether a picture may have none, unless something is wrong with the metadata: its
            caption may stand there.

    Returns:
        The distinct captions of each picture that has some; and a problem for each picture without
        caption, caption without picture, unreadable or empty caption, and pair of places that
        disagree.
    """
    sidecars = _read_sidecars(folder, pictures, find_files(folder, CAPTION_SUFFIXES))
    metadata = list(_read_metadata(folder, pictures, column or "text"))
    entries, problems = _sorted_out([*sidecars, *metadata])
    captions, conflicts = _resolve(entries)
    is_whole = not any(isinstance(each, Problem) for each in metadata)
    missing = [] if optional and is_whole else _missing(folder, pictures, entries)
    return captions, problems + conflicts + missing


def read_metadata(
    folder: Path, pictures: Sequence[Path], column: str | None = None
) -> dict[Path, list[str]]:
    """Give the captions in a folder's metadata alone; what is wrong with them is left out.

    Args:
        folder: The folder that holds the pictures.
        pictures: The pictures below it.
        column: What metadata call a caption; None is `text`.

    Returns:
        The captions of each picture that has some there.
    """
    entries, _ = _sorted_out(_read_metadata(folder, pictures, column or "text"))
    return _resolve(entries)[0]


def read_sidecars(
    folder: Path, pictures: Sequence[Path]
) -> tuple[dict[Path, list[str]], list[Problem]]:
    """Join pictures with the caption files beside them; a picture may have none.

    Args:
        folder: The folder that holds the pictures.
        pictures: Pictures in the folder itself.

    Returns:
        The captions of each picture that has some; and all problems, see
        `read_captions`.
    """
    files = [path for path in find_files(folder, CAPTION_SUFFIXES) if path.parent == folder]
    entries, problems = _sorted_out(_read_sidecars(folder, pictures, files))
    captions, conflicts = _resolve(entries)
    return captions, problems + conflicts


def caption_lines(text: str) -> list[str]:
    """Give the captions in a text: a line is one, runs of spaces in it are one space."""
    return [line for each in text.splitlines() if (line := " ".join(each.split()))]


def several_note(captions: Iterable[Sequence[str]]) -> list[str]:
    """Say how many pictures have more than one caption, in a sentence or none."""
    count = sum(len(each) > 1 for each in captions)
    if not count:
        return []
    have = counted(count, "picture has", "pictures have")
    return [f"{have} several captions, of which each sample draws one."]


def _sorted_out(found: Iterable[_Entry | Problem]) -> tuple[list[_Entry], list[Problem]]:
    entries: list[_Entry] = []
    problems: list[Problem] = []
    for each in found:
        if isinstance(each, Problem):
            problems.append(each)
        else:
            entries.append(each)
    return entries, problems


def _read_sidecars(
    folder: Path, pictures: Sequence[Path], files: Sequence[Path]
) -> Iterator[_Entry | Problem]:
    by_stem = ByName((picture.with_suffix(""), picture) for picture in pictures)
    unmatched = [path for path in files if not by_stem.get(path.with_suffix(""))]
    of_masks = ByName((mask.with_suffix(""), mask) for mask in _masks(folder, unmatched))
    for path in files:
        matches = by_stem.get(path.with_suffix(""))
        is_passed_over = path.stem.lower() in NOTES or of_masks.get(path.with_suffix(""))
        if not matches and not is_passed_over:
            yield Problem(
                str(path), "there is no picture of this name; add it, or delete the caption."
            )
        for picture in matches:
            try:
                text = read_text(path, folder, largest=_LARGEST_CAPTION)
                yield _Entry(picture, str(path), caption_lines(text), "files beside it")
            except (OSError, UnicodeDecodeError) as error:
                yield unreadable(path, error, str(picture))


def _read_metadata(
    folder: Path, pictures: Sequence[Path], column: str
) -> Iterator[_Entry | Problem]:
    name_of = name_below(folder)
    known = ByName((name_of(picture), picture) for picture in pictures)
    masks: ByName[Path] | None = None
    for path in (folder / name for name in METADATA_NAMES):
        if not path.is_file():
            continue
        try:
            text = read_text(path, folder)
        except (OSError, UnicodeDecodeError) as error:
            yield unreadable(path, error)
            continue
        for number, row in metadata_rows(path, text, column):
            source = f"{path}:{number}"
            if isinstance(row, str):
                yield Problem(source, row)
                continue
            found = _metadata_entry(source, path.name, row, known, column)
            if isinstance(found, _Unknown):
                if masks is None:
                    masks = ByName((name_of(each), each) for each in _masks(folder, [path]))
                if masks.get(found.name):
                    continue  # whoever wrote a row for each file wrote one for each mask
                found = Problem(source, _no_picture(folder, found.name))
            yield found


def _masks(folder: Path, unmatched: Sequence[Path]) -> set[Path]:
    """Find the masks below a folder, if there is something of which no picture is known."""
    if not unmatched:
        return set()
    return set(masks_of(find_pictures(folder)).values())


def _no_picture(folder: Path, name: str) -> str:
    """Say why a row's picture is none: it is not there, or not read."""
    if not is_confined(name) or not os.path.lexists(folder / name):
        return f"there is no picture {shortened(name)}; add it, or delete the line."
    if Path(name).suffix.lower() not in IMAGE_SUFFIXES:
        what = "is no picture of a kind that is read; save it as PNG, JPEG or WebP"
    elif (folder / name).is_file():
        what = "is there but not read, for it is hidden or a link; put the file itself there"
    else:
        what = "is no file; put the picture there"
    return f"{shortened(name)} {what}, or delete the line."


def _metadata_entry(
    source: str, file: str, row: Mapping[str, Any], known: ByName[Path], column: str
) -> _Entry | Problem | _Unknown:
    name, value = row.get("file_name"), row.get(column)
    pictures = known.get(PurePath(name)) if isinstance(name, str) else []
    if isinstance(name, str) and not pictures:
        return _Unknown(PurePath(name).as_posix())
    if not pictures or not is_caption(value):
        return Problem(
            source,
            f"holds no `file_name` and `{column}`; write both, as text, or delete the line.",
        )
    captions = value if isinstance(value, list) else [value]
    joined = [" ".join(str(each).split()) for each in captions]
    return _Entry(pictures[0], source, list(filter(None, joined)), file)


def _resolve(entries: Sequence[_Entry]) -> tuple[dict[Path, list[str]], list[Problem]]:
    by_picture: dict[Path, list[_Entry]] = defaultdict(list)
    problems = []
    for entry in entries:
        if entry.captions:
            by_picture[entry.picture].append(entry)
        else:
            what = "the caption is empty; write what the picture shows."
            problems.append(Problem(entry.source, what, str(entry.picture)))
    captions = {}
    for picture, candidates in by_picture.items():
        by_place: dict[str, list[str]] = defaultdict(list)
        for each in candidates:
            by_place[each.place] += each.captions
        captions[picture] = list(dict.fromkeys(by_place[candidates[0].place]))
        if any(set(other) != set(captions[picture]) for other in by_place.values()):
            sources = " and ".join(entry.source for entry in candidates)
            what = f"its captions disagree, in {sources}; keep one of them."
            problems.append(Problem(str(picture), what))
    return captions, problems


def _missing(folder: Path, pictures: Sequence[Path], entries: Sequence[_Entry]) -> list[Problem]:
    captioned = {entry.picture for entry in entries}
    missing = [picture for picture in pictures if picture not in captioned]
    if missing and not captioned:
        count = len(missing)
        none = "its picture has no" if count == 1 else f"none of its {count:,} pictures has a"
        return [
            Problem(
                str(folder),
                f"{none} caption; write one into a text file beside each "
                f"({missing[0].stem}.txt), or all into a metadata.jsonl with `file_name` and "
                f"`text`; or `sdtune caption {shlex.quote(str(folder))}` writes some.",
            )
        ]
    return [
        Problem(
            str(picture),
            f"has no caption; write one into {picture.stem}.txt beside it, or into the folder's "
            "metadata.jsonl.",
        )
        for picture in missing
    ]
