"""Read the captions of a folder of pictures: sidecar files, metadata.jsonl or metadata.csv."""

from __future__ import annotations

import csv
import io
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sdtune._checks import shortened
from sdtune._wording import counted
from sdtune.data.image_folder import find_files
from sdtune.data.problems import Problem
from sdtune.files.text_file import parse_json_text, read_text

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
METADATA_NAMES = ("metadata.jsonl", "metadata.csv")

_LARGEST_CAPTION = 1_000_000  # bytes

# text files that lie beside pictures and are nobody's caption
NOTES = frozenset({"attribution", "copyright", "credits", "licence", "license", "notice", "readme"})


class _Entry(NamedTuple):
    picture: Path
    source: str
    captions: Sequence[str]
    place: str  # what is read as one: the files beside a picture, or a metadata file


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


def read_metadata(folder: Path, pictures: Sequence[Path]) -> dict[Path, list[str]]:
    """Give the captions in a folder's metadata alone; what is wrong with them is left out.

    Args:
        folder: The folder that holds the pictures.
        pictures: The pictures below it.

    Returns:
        The captions of each picture that has some there.
    """
    entries, _ = _sorted_out(_read_metadata(folder, pictures, "text"))
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
    by_stem = defaultdict(list)
    for picture in pictures:
        by_stem[picture.with_suffix("")].append(picture)
    for path in files:
        matches = by_stem[path.with_suffix("")]
        if not matches and path.stem.lower() not in NOTES:
            yield Problem(
                str(path), "there is no picture of this name; add it, or delete the caption."
            )
        for picture in matches:
            try:
                text = read_text(path, folder, largest=_LARGEST_CAPTION)
                yield _Entry(picture, str(path), caption_lines(text), "files beside it")
            except (OSError, UnicodeDecodeError) as error:
                yield _unreadable(path, error, str(picture))


def _unreadable(path: Path, error: Exception, picture: str = "") -> Problem:
    what = f"cannot be read as UTF-8 text ({error}); save it again as UTF-8."
    return Problem(str(path), what, picture)


def _read_metadata(
    folder: Path, pictures: Sequence[Path], column: str
) -> Iterator[_Entry | Problem]:
    known = {picture.relative_to(folder).as_posix(): picture for picture in pictures}
    for path in (folder / name for name in METADATA_NAMES):
        if not path.is_file():
            continue
        try:
            text = read_text(path, folder)
        except (OSError, UnicodeDecodeError) as error:
            yield _unreadable(path, error)
            continue
        for number, row in _rows(path, text, column):
            source = f"{path}:{number}"
            if isinstance(row, str):
                yield Problem(source, row)
            else:
                yield _metadata_entry(source, path.name, row, known, column)


def metadata_problems(path: Path, folder: Path) -> list[Problem]:
    """Say what is wrong with the lines of a metadata file that another library could not read.

    Args:
        path: A `metadata.jsonl` or `metadata.csv`.
        folder: The folder that it must lie in.

    Returns:
        One for each line that is wrong, or for the file.
    """
    try:
        rows = list(_rows(path, read_text(path, folder), ""))
    except (OSError, UnicodeDecodeError) as error:
        return [_unreadable(path, error)]
    problems = [
        Problem(
            f"{path}:{number}", row if isinstance(row, str) else "holds no `file_name`; add it."
        )
        for number, row in rows
        if isinstance(row, str) or not any(f"{key}s".endswith("file_names") for key in row)
    ]
    if not rows:
        what = "holds no rows; write `file_name` and a caption, or delete the file."
        problems = [Problem(str(path), what)]
    return problems


def _rows(path: Path, text: str, column: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Give the rows of metadata by their lines, or what is wrong in a sentence without path."""
    return _csv_rows(text, column) if path.suffix == ".csv" else _jsonl_rows(text)


def _jsonl_rows(text: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    for number, line in enumerate(_lines(text), start=1):
        if line.strip():
            try:
                row = parse_json_text(line)
            except ValueError as error:
                yield number, f"is no JSON ({error}); write it anew, or delete the line."
                continue
            is_row = isinstance(row, dict)
            wrong = f"holds {shortened(row)} and no mapping; write it anew, or delete the line."
            yield number, row if is_row else wrong


def _lines(text: str) -> Iterator[str]:
    """Yield the lines of a text one by one: of a million, a list takes much memory."""
    begin = 0
    while (end := text.find("\n", begin)) >= 0:
        yield text[begin:end]
        begin = end + 1
    yield text[begin:]


def _csv_rows(text: str, column: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        missing = {"file_name", column or "file_name"} - set(reader.fieldnames or ())
        if missing and text:
            names = " and ".join(f"`{each}`" for each in sorted(missing))
            named = shortened(",".join(reader.fieldnames or ()))
            yield (
                1,
                f"names the columns {named} and not {names}; name them so, with commas between.",
            )
            return
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        yield reader.line_num + 1, f"is no CSV ({error}), and no line after it is read; mend it."


def _metadata_entry(
    source: str, file: str, row: Mapping[str, Any], known: Mapping[str, Path], column: str
) -> _Entry | Problem:
    name, value = row.get("file_name"), row.get(column)
    captions = value if isinstance(value, list) else [value]
    if not isinstance(name, str) or not all(isinstance(each, str) for each in captions):
        return Problem(
            source,
            f"holds no `file_name` and `{column}`; write both, as text, or delete the line.",
        )
    picture = known.get(Path(name).as_posix())
    if picture is None:
        what = f"there is no picture {shortened(name)}; add it, or delete the line."
        return Problem(source, what)
    joined = [" ".join(str(each).split()) for each in captions]
    return _Entry(picture, source, list(filter(None, joined)), file)


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
