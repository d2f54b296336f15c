"""WebDataset shards: tar files in which files of one name make a sample."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune._wording import counted
from sdtune.data.archive_member import ArchiveMember
from sdtune.data.captions import caption_lines, several_note
from sdtune.data.decoding import IMAGE_SUFFIXES
from sdtune.data.problems import Problem
from sdtune.data.same_name import one_form
from sdtune.data.sources.shard_index import ShardIndex
from sdtune.data.sources.source import Asked, Listed, Listing, Sign
from sdtune.files.confined_path import is_confined
from sdtune.files.text_file import parse_json_text

__all__ = ["WebDatasetSource", "expand_braces"]

_CAPTION_KEYS = ("text", "caption", "prompt", "description")
_LARGEST = {".json": 10_000_000, ".txt": 1_000_000, ".caption": 1_000_000}  # bytes
_LARGEST_PICTURE = 500_000_000  # bytes
_MOST_SHARDS = 100_000
_NAMED = 5  # in a sentence
_FIELD = re.compile(r"(\.[^\W\d][\w-]*)+")  # `0.prompt.txt`, but not `12.05.2023 001.txt`
_NEGATIVE = re.compile(r"(?<![^\W_])neg(ative)?(?![^\W\d_])", re.I)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


class WebDatasetSource:
    """Shards: a `.tar`, a pattern such as `shard-{000..009}.tar`, or a folder with such files.

    A sample's name ends at the first dot. Its caption is its `.txt` or `.caption`, or `text` or
    `caption` in its `.json`; what has more before its suffix, as `0.en.txt`, is that of a picture
    of that very name, or of the only picture where it is the only text and not named as a negative
    prompt, as `0.negative.txt`. Pictures are read where they lie, from any place of any shard:
    their order, how ranks share them and how a run resumes are those of files, and nothing is
    unpacked. So the shards must be on a disk, or on what is mounted as one. Members that are no
    regular files, too large, or named to lead out of the archive are refused.
    """

    name = "webdataset"
    title = "WebDataset shards"

    def recognise(self, location: str) -> Sign | None:
        """See whether it ends in `.tar`, or is a folder of such files without pictures beside."""
        if location.endswith(".tar") and (
            Path(location).is_file() or _BRACES.search(location) is not None
        ):
            return Sign("a name that ends in .tar", 2)
        shards = _shards_in(Path(location))
        if not shards or _loose_pictures(Path(location)):
            return None  # pictures, and an archive of something
        return Sign(f"{shards[0].name} in it", 1)

    def list(self, location: str, asked: Asked) -> Listing:
        """Read all shards, one after the other."""
        folder = Path(location)
        shards = _shards_in(folder) or [Path(each) for each in expand_braces(location)]
        there = [shard for shard in shards if shard.is_file()]
        problems = [
            Problem(str(shard), "there is no such shard; copy it there, or name others.")
            for shard in shards
            if not shard.is_file()
        ]
        contents, wrong = ShardIndex(location, asked.cache_dir).contents(there, _read_shard)
        problems += wrong
        pictures: list[Listed] = []
        samples: list[tuple[Path, _Sample]] = []
        for shard, rows in zip(there, contents, strict=True):
            for row in rows:
                sample = _Sample(*row)
                if not sample.pictures:
                    continue
                samples.append((shard, sample))
                pictures.append(sample.listed(shard, asked))
                problems += sample.problems(shard, pictures[-1], asked)
        if not pictures and not problems:
            problems = [Problem(location, "its shards hold no pictures; name others.")]
        notes = several_note(each.captions for each in pictures)
        notes += _beside_notes(location, samples, asked)
        if loose := _loose_pictures(folder):
            are = counted(loose, "picture beside the shards is", "pictures beside the shards are")
            notes.append(f"{folder}: {are} left out.")
        root = folder if folder.is_dir() else _common_folder(shards)
        return Listing(root, pictures, counted(len(shards), "shard"), problems, notes)


@dataclass
class _Sample:
    """The files of one key in a shard: pictures by their names, offsets and lengths, and texts."""

    key: str
    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # names and what they hold
    wrong: str = ""  # what is wrong with the JSON, once it has been looked at
    lone: Sequence[str] = ()  # the names of texts that are read though they are not its own

    @property
    def picture(self) -> tuple[str, int, int]:
        """The one of the fewest endings: a `.mask.png` beside is no picture to train on."""
        if len(self.pictures) == 1:
            return self.pictures[0]
        return min(self.pictures, key=lambda each: Path(each[0]).name.count("."))

    def listed(self, shard: Path, asked: Asked) -> Listed:
        path = ArchiveMember.of(shard, *self.picture)
        captions = [asked.caption] if asked.caption is not None else self._captions(asked)
        # one part, as a picture beside the shards would have; the shard's name tells samples of one
        # number apart
        called = f"{shard.stem}-{path.inside.replace('/', '-')}"
        return Listed(path, called, captions)

    def problems(self, shard: Path, listed: Listed, asked: Asked) -> list[Problem]:
        """Say that it has no caption, or pictures that are meant for samples of their own."""
        found = []
        if not listed.captions:
            what = self.wrong or "has no caption"
            what += "; put a .txt or a .json with `text` of the same name into the shard."
            found.append(Problem(str(listed.path), what))
        if asked.caption is None and (lost := self._captioned_beside()):
            names = _some_names([self.picture[0], *lost])
            found.append(
                Problem(
                    f"{shard}/{self.key}",
                    f"is one sample, for a name ends at its first dot, and holds {len(lost) + 1} "
                    f"pictures with captions of their own ({names}); name them without further "
                    "dots.",
                )
            )
        return found

    def texts_beside(self) -> list[str]:
        """List the texts that are no caption of the picture, nor of another."""
        of_others = {each for name, *_ in self.pictures for each in _stems(name)}
        return [
            name
            for name, _ in self.texts
            if not (self._is_own(name) or _stem(name) in of_others or name in self.lone)
        ]

    def _captioned_beside(self) -> list[str]:
        stems = {_stem(name) for name, _ in self.texts if not self._is_own(name)}
        return [name for name, *_ in self.pictures if not stems.isdisjoint(_stems(name))]

    def _is_own(self, text: str) -> bool:
        """Tell whether a text is the whole sample's, or that of the very name of its picture."""
        return _stem(text) in (self.key, *_stems(self.picture[0]))

    def _captions(self, asked: Asked) -> list[str]:
        own = [each for each in self.texts if self._is_own(each[0])]
        found = self._read(own, asked)
        if not found and not self.wrong and (lone := self._lone_texts()):
            self.lone = [name for name, _ in lone]
            found = self._read(lone, asked)
        joined = [" ".join(each.split()) for each in found]
        return list(dict.fromkeys(filter(None, joined)))

    def _lone_texts(self) -> list[tuple[str, str]]:
        """List the only text and the only JSON of the only picture, such as `0.prompt.txt`."""
        if len(self.pictures) > 1:
            return []
        rest = [
            each
            for each in self.texts
            if not self._is_own(each[0])
            and _FIELD.fullmatch(field := _stem(each[0])[len(self.key) :])
            and not _NEGATIVE.search(field)
        ]
        kinds = [[each for each in rest if _is_json(each[0]) is kind] for kind in (False, True)]
        return [each for kind in kinds if len(kind) == 1 for each in kind]

    def _read(self, texts: Sequence[tuple[str, str]], asked: Asked) -> list[str]:
        found = [line for name, text in texts if not _is_json(name) for line in caption_lines(text)]
        mappings = [text for name, text in texts if _is_json(name)]
        if mappings and (asked.caption_column is not None or not found):
            try:
                column = asked.caption_column
                found = [line for text in mappings for line in _json_captions(text, column)]
            except ValueError as error:
                found, self.wrong = [], str(error)
        return found


def _beside_notes(
    location: str, samples: Sequence[tuple[Path, _Sample]], asked: Asked
) -> list[str]:
    """Say which pictures and texts of samples are not read, in a sentence each or none."""
    notes = []
    several = [(shard, each) for shard, each in samples if len(each.pictures) > 1]
    if several:
        are = counted(
            sum(len(each.pictures) - 1 for _, each in several), "picture is", "pictures are"
        )
        shard, sample = several[0]
        first = sample.picture[0]
        others = _some_names([name for name, *_ in sample.pictures if name != first])
        notes.append(
            f"{location}: {are} left out, of samples that hold several: of {shard.name}'s "
            f"`{sample.key}` `{first}` is read, and {others} not."
        )
    texts = [(shard, name) for shard, each in samples for name in each.texts_beside()]
    if texts and asked.caption is None:
        are = counted(len(texts), "text is", "texts are")
        shard, name = texts[0]
        notes.append(
            f"{location}: {are} left out, named neither as the sample nor as its picture, such as "
            f"{shard.name}'s `{name}`."
        )
    return notes


def _some_names(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{each}`" for each in names[:_NAMED])
    rest = len(names) - _NAMED
    return f"{shown} and {rest} more" if rest > 0 else shown


def _stem(name: str) -> str:
    """Give a member's name without its suffix, which it has, to compare it."""
    return one_form(name.rpartition(".")[0])


def _stems(picture: str) -> tuple[str, str]:
    """Give what the texts of a picture are called, `0.txt` or `0.png.txt`, without suffixes."""
    return _stem(picture), one_form(picture)


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")


def expand_braces(pattern: str) -> list[str]:
    """Write out a pattern: `a-{00..02}.tar` and `{cat,dog}.tar` are three and two names.

    Args:
        pattern: A text with any number of braces, none within another.

    Returns:
        All names, the last braces running fastest; the text itself if it has none.

    Raises:
        OSError: If there would be more than 100,000.
    """
    parts = _BRACES.split(pattern)  # text, braces, text, braces, …, text
    choices: list[list[str]] = []
    count = 1
    for number, part in enumerate(parts):
        choices.append(_choices(part) if number % 2 else [part])
        count *= len(choices[-1])
        if count > _MOST_SHARDS:
            raise OSError(f"the pattern names more than {_MOST_SHARDS} shards")
    return ["".join(each) for each in product(*choices)]


def _choices(braces: str) -> list[str]:
    match = _RANGE.fullmatch(braces)
    if match is None:
        return braces.split(",")
    first, last = int(match[1]), int(match[2])
    if last - first > _MOST_SHARDS:
        raise OSError(f"the pattern names more than {_MOST_SHARDS} shards")
    return [str(number).zfill(len(match[1])) for number in range(first, last + 1)]


def _shards_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(each for each in folder.iterdir() if each.suffix == ".tar" and each.is_file())


def _loose_pictures(folder: Path) -> int:
    if not folder.is_dir():
        return 0
    return sum(each.suffix.lower() in IMAGE_SUFFIXES for each in folder.iterdir())


def _common_folder(shards: Sequence[Path]) -> Path:
    folders = {str(shard.parent) for shard in shards}
    return Path(os.path.commonpath(sorted(folders))) if folders else Path()


def _read_shard(shard: Path) -> tuple[list[Any], list[Problem]]:
    """Read a shard's headers and texts: the fields of its samples, and what is wrong with them."""
    samples: dict[str, _Sample] = {}
    problems: list[Problem] = []
    try:
        size = shard.stat().st_size
        with tarfile.open(shard, "r:") as archive:  # packed ones can grow without bound
            for member in _members(archive, shard, problems):
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError("unexpected end of data")
                problems += _add(samples, archive, member, f"{shard}/{member.name}")
    except (tarfile.TarError, EOFError) as error:
        reason = str(error) or "it ends too early"
        what = f"is no whole tar file ({reason}); make or copy it again."
        problems.append(Problem(str(shard), what))
    return [[each.key, each.pictures, each.texts] for each in samples.values()], problems


def _members(
    archive: tarfile.TarFile, shard: Path, problems: list[Problem]
) -> Iterator[tarfile.TarInfo]:
    """Give the pictures and captions; add a problem for each that is refused."""
    for member in archive:
        suffix = Path(member.name).suffix.lower()
        if member.isdir() or suffix not in {*IMAGE_SUFFIXES, *_LARGEST}:
            continue
        largest = _LARGEST.get(suffix, _LARGEST_PICTURE)
        if not member.isreg() or member.issparse():
            what = "is a link or a device and no file; leave it out."
        elif not is_confined(member.name):
            what = "its name leads out of the archive; name it otherwise."
        elif member.size > largest:
            what = f"is larger than {largest // 1_000_000} MB; leave it out."
        else:
            yield member
            continue
        problems.append(Problem(f"{shard}/{member.name}", what))


def _add(
    samples: dict[str, _Sample], archive: tarfile.TarFile, member: tarfile.TarInfo, where: str
) -> list[Problem]:
    """Put a member with its sample; give a problem if it is no text."""
    path = Path(member.name)
    base = path.name.split(".", 1)[0] or path.name  # WebDataset's key ends at the first dot
    key = one_form(path.parent / base)
    sample = samples.setdefault(key, _Sample(key))
    if path.suffix.lower() in IMAGE_SUFFIXES:
        sample.pictures.append((path.as_posix(), member.offset_data, member.size))
        return []
    file = archive.extractfile(member)
    data = b"" if file is None else file.read()
    try:
        sample.texts.append((path.as_posix(), data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        what = f"cannot be read as UTF-8 text ({error}); write it again as UTF-8."
        return [Problem(where, what)]
    return []


def _json_captions(text: str, column: str | None) -> list[str]:
    try:
        values = parse_json_text(text)
    except ValueError as error:
        raise ValueError(f"its .json is no JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError(f"its .json holds {shortened(values)} and no mapping")
    keys = _CAPTION_KEYS if column is None else (column,)
    key = next((key for key in keys if values.get(key)), None)
    if key is None:
        return []
    found = values[key] if isinstance(values[key], list) else [values[key]]
    if not all(isinstance(each, str) for each in found):
        raise ValueError(f"`{key}` of its .json is {shortened(values[key])} and no text")
    return found
