"""Read the rows of a folder's metadata.jsonl or metadata.csv."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import Any

from sdtune._checks import shortened
from sdtune._wording import counted
from sdtune.data.image_folder import name_below
from sdtune.data.problems import Problem
from sdtune.data.same_name import ByName
from sdtune.files.text_file import parse_json_text, read_text

__all__ = [
    "METADATA_NAMES",
    "is_caption",
    "metadata_problems",
    "metadata_rows",
    "unread_metadata",
    "unreadable",
]

METADATA_NAMES = ("metadata.jsonl", "metadata.csv")


def metadata_rows(path: Path, text: str, column: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Give the rows of metadata by their lines, or what is wrong in a sentence without path.

    Args:
        path: The file.
        text: What it holds.
        column: What must be there beside `file_name`, where columns are named once; empty if there
            is no such.

    Yields:
        The number of the line, and the row or the sentence.
    """
    return _csv_rows(text, column) if path.suffix == ".csv" else _jsonl_rows(text)


def is_caption(value: Any) -> bool:
    """Tell whether a value of a row is one caption or several."""
    captions = value if isinstance(value, list) else [value]
    return all(isinstance(each, str) for each in captions)


def unreadable(path: Path, error: Exception, picture: str = "") -> Problem:
    """Say that a file is no text, and of which picture it is."""
    what = f"cannot be read as UTF-8 text ({error}); save it again as UTF-8."
    return Problem(str(path), what, picture)


def metadata_problems(path: Path, folder: Path) -> list[Problem]:
    """Say what is wrong with the lines of a metadata file that another library could not read.

    Args:
        path: A `metadata.jsonl` or `metadata.csv`.
        folder: The folder that it must lie in.

    Returns:
        One for each line that is wrong, or for the file.
    """
    try:
        rows = list(metadata_rows(path, read_text(path, folder), ""))
    except (OSError, UnicodeDecodeError) as error:
        return [unreadable(path, error)]
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


def unread_metadata(
    folder: Path, pictures: Sequence[Path], column: str | None = None
) -> list[Problem]:
    """Say which metadata of a folder's pictures may hold captions that are not found.

    Args:
        folder: The folder that holds the pictures.
        pictures: The pictures below it.
        column: What metadata call a caption; None is `text`.

    Returns:
        One for each file that is not read, or of which lines are not; what is to be named is
        `--caption_column`.
    """
    name_of = name_below(folder)
    known = ByName((name_of(picture), picture) for picture in pictures)
    problems = []
    for path in (folder / name for name in METADATA_NAMES):
        if not path.is_file():
            continue
        try:
            rows = list(metadata_rows(path, read_text(path, folder), ""))
        except (OSError, UnicodeDecodeError) as error:
            problems.append(unreadable(path, error))
            continue
        broken = [Problem(f"{path}:{number}", row) for number, row in rows if isinstance(row, str)]
        found = [(number, row) for number, row in rows if not isinstance(row, str)]
        problems += broken[:1] or _other_columns(path, found, known, column or "text")
    return problems


def _other_columns(
    path: Path, rows: Sequence[tuple[int, dict[str, Any]]], known: ByName[Path], column: str
) -> list[Problem]:
    unread = [
        (number, row)
        for number, row in rows
        if isinstance(name := row.get("file_name"), str)
        and known.get(PurePath(name))
        and not is_caption(row.get(column))
    ]
    if not unread:
        return []
    number, row = unread[0]
    keys = [key for key, value in row.items() if key not in (None, "file_name") and value]
    keys = [key for key in keys if is_caption(row[key])]
    hold = "holds" if len(unread) == 1 else f"and {counted(len(unread) - 1, 'more line')} hold"
    there = f" (the line has {shortened(', '.join(keys))})" if keys else ""
    return [
        Problem(
            f"{path}:{number}",
            f"{hold} no `{column}`; name the column of the captions{there} with "
            "`--caption_column`, or write captions there or delete the lines: captions beside the "
            "pictures might differ from what is there.",
        )
    ]


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
