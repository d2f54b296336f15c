"""kohya's folders: `<repeats>_<class tokens>/` side by side."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from sdtune._wording import counted
from sdtune.data.captions import METADATA_NAMES, read_sidecars, several_note
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.image_folder import is_folder, list_files
from sdtune.data.masks import masks_note, masks_of
from sdtune.data.problems import Problem
from sdtune.data.sources.folder import (
    DATE,
    KOHYA_NAME,
    MOST_REPEATS,
    imagefolder_note,
    link_problem,
    links_out,
    no_pictures,
    passed_over,
)
from sdtune.data.sources.source import Asked, Listed, Listing, Sign

__all__ = ["KohyaSource"]

# class tokens hold a letter, or are a small number: `5_2023` and `12_05` are months and days
_CLASS_TOKENS = re.compile(r".*[^\W\d_].*|[1-9]\d{0,2}")


class _Subject(NamedTuple):
    folder: Path
    repeats: int
    class_tokens: str


class KohyaSource:
    """Folders whose names say how often an epoch shows their pictures, and what these show.

    A picture's caption is in a file of its name (`.caption` or `.txt`); without one it is the class
    tokens, "sks cat" in `10_sks cat/`. Only pictures in such a folder itself count. Folders of
    regularisation pictures look the same.
    """

    name = "kohya"
    title = "kohya's folders"

    def recognise(self, location: str) -> Sign | None:
        """See whether there are such folders with pictures in them, and no metadata beside them.

        Numbers that are years, begin a date or number a row (`01_sea`, `02_hill`) are not taken
        for repeats, nor is a folder taken for kohya's that holds more pictures itself than such
        folders do: most of it would be left out.
        """
        folder = Path(location)
        if not folder.is_dir() or any((folder / name).is_file() for name in METADATA_NAMES):
            return None  # kohya reads no metadata here: somebody else's folder
        sure = _surely_repeated(_folders_in(folder))
        counts = {each: _count_pictures(each) for each in sure}
        named = [each.name for each in sure if counts[each]]
        if not named or _count_pictures(folder) > sum(counts.values()):
            return None
        return Sign(f"the name of {named[0]}", 1)

    def list(self, location: str, asked: Asked) -> Listing:
        """List the pictures of each folder that begins with a number."""
        folder = Path(location)
        subjects = list(_subjects(folder)) if folder.is_dir() else []
        if not subjects:
            return Listing(
                folder,
                problems=[
                    Problem(
                        str(folder),
                        "holds no folder like `10_sks cat`, a number of repeats and what the "
                        "pictures show; name the folder above such ones.",
                    )
                ],
            )
        pictures: list[Listed] = []
        problems: list[Problem] = []
        masks: set[Path] = set()
        for subject in subjects:
            found, wrong, masked = _list_subject(folder, subject, asked)
            pictures += found
            problems += wrong
            masks |= masked
        outside = links_out(folder, [each.folder for each in subjects])
        inside = [each.folder for each in subjects if each.folder not in outside]
        notes = _left_out(folder, {*inside, *outside}, inside, masks)
        notes += several_note(each.captions for each in pictures) + masks_note(len(masks))
        files = [each for path in inside for each in _files_in(path)]
        if asked.caption is None:
            notes += imagefolder_note(folder, files, "repeats and names do not count")
        summary = _summary([each for each in subjects if not _wrong_repeats(each)] or subjects)
        return Listing(folder, pictures, summary, problems, notes, passed_over(files))


def _subjects(folder: Path) -> Iterator[_Subject]:
    for path in _folders_in(folder):
        match = KOHYA_NAME.fullmatch(path.name)
        if match and int(match[1]) > 0:
            yield _Subject(path, int(match[1]), match[2].strip())


def _surely_repeated(folders: Sequence[Path]) -> list[Path]:
    """Choose the folders whose numbers are no years, no dates and no places in a row."""
    numbers = {
        each: match[1]
        for each in folders
        if (match := KOHYA_NAME.fullmatch(each.name))
        and 0 < int(match[1]) <= MOST_REPEATS
        and _CLASS_TOKENS.fullmatch(match[2].strip())
        and not DATE.match(each.name)
    }
    by_width: dict[int, list[str]] = defaultdict(list)
    for number in numbers.values():
        by_width[len(number)].append(number)
    return [each for each, number in numbers.items() if not _is_row(by_width[len(number)])]


def _is_row(numbers: Sequence[str]) -> bool:
    """Tell whether numbers of as many digits are places in a row: 01 and 03, or 09 and 10."""
    padded = [each[0] == "0" for each in numbers]
    places = sorted(map(int, numbers))
    follow = any(after - each == 1 for each, after in pairwise(places))
    return (any(padded) and follow) or (all(padded) and places[0] == 1)


def _list_subject(
    folder: Path, subject: _Subject, asked: Asked
) -> tuple[list[Listed], list[Problem], set[Path]]:
    if links_out(folder, [subject.folder]):
        what = "is a link out of the folder; name its folder as well."
        return [], [Problem(str(subject.folder), what)], set()
    if what := _wrong_repeats(subject):
        return [], [Problem(str(subject.folder), what)], set()
    paths = [path for path in _files_in(subject.folder) if _is_picture(path)]
    if not paths:
        return [], [no_pictures(subject.folder)], set()
    links = links_out(folder, paths)
    masks = masks_of([path for path in list_files(subject.folder) if _is_picture(path)])
    not_trained_on = {*links, *masks.values()}
    paths = [path for path in paths if path not in not_trained_on]
    problems = [link_problem(path) for path in sorted(links)]
    own = [subject.class_tokens if asked.caption is None else asked.caption]
    captions = dict.fromkeys(paths, own)
    if asked.caption is None:
        written, wrong = read_sidecars(subject.folder, paths)
        captions.update(written)
        problems += wrong
        if len(written) < len(paths) and not _is_text(subject.class_tokens):
            what = "its name is no UTF-8, and captions are made of it; rename it."
            problems.append(Problem(str(subject.folder), what))
    return (
        [
            Listed(
                path,
                path.relative_to(folder).as_posix(),
                captions[path],
                subject.repeats,
                masks.get(path),
            )
            for path in paths
        ],
        problems,
        set(masks.values()),
    )


def _wrong_repeats(subject: _Subject) -> str:
    """Say why the number of a name is none of repeats; nothing where it is."""
    instead = "read all by `data.source: folder`."
    if subject.repeats > MOST_REPEATS:
        return (
            f"its name asks for {subject.repeats} repeats of each picture, and more than "
            f"{MOST_REPEATS} are a year, a date or a slip; begin the name with another number, or "
            f"{instead}"
        )
    if DATE.match(subject.folder.name):
        return (
            "its name begins with a date and not with repeats; begin it with another number, or "
            f"{instead}"
        )
    return ""


def _is_text(name: str) -> bool:
    """Tell whether a name can be a caption; one out of an old archive may hold any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _summary(subjects: list[_Subject]) -> str:
    noun = "subject" if len(subjects) == 1 else "subjects"
    counted = Counter(each.repeats for each in subjects)
    listed = [str(repeats) for repeats in sorted(counted, reverse=True)]
    words = " and ".join(filter(None, [", ".join(listed[:-1]), listed[-1]]))
    return f"{len(subjects)} {noun} with repeats {words}"


def _left_out(folder: Path, meant: set[Path], inside: list[Path], masks: set[Path]) -> list[str]:
    names = [path.name for path in _folders_in(folder) if path not in meant]
    beside = sum(_is_picture(path) for path in _files_in(folder))
    deeper = sum(
        _is_picture(path) and path.parent != each and path not in masks
        for each in inside
        for path in list_files(each)
    )
    notes = []
    if names:
        notes.append(
            f"{folder}: {', '.join(names[:20])} {'is' if len(names) == 1 else 'are'} left out, for "
            "the name does not begin with a number of repeats and `_`."
        )
    if beside or deeper:
        do = counted(beside + deeper, "picture does", "pictures do")
        are = "is" if beside + deeper == 1 else "are"
        notes.append(
            f"{folder}: {do} not lie in a folder `<repeats>_<name>` itself and {are} left out; "
            "`data.source: folder` reads all."
        )
    return notes


def _folders_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(
            Path(each.path) for each in entries if is_folder(each) and each.name[0] != "."
        )


def _files_in(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(
            Path(each.path) for each in entries if not is_folder(each) and each.name[0] != "."
        )


def _count_pictures(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(_is_picture(Path(each.name)) for each in entries)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != "."
