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
from sdtune.data.sources.shard_index import ShardIndex
from sdtune.data.sources.source import Asked, Listed, Listing, Sign
from sdtune.files.confined_path import is_confined
from sdtune.files.text_file import parse_json_text

__all__ = ["WebDatasetSource", "expand_braces"]

_TEXTS = frozenset({".txt", ".caption"})
_CAPTION_KEYS = ("text", "caption", "prompt", "description")
_LARGEST = {".json": 10_000_000, ".txt": 1_000_000, ".caption": 1_000_000}  # bytes
_LARGEST_PICTURE = 500_000_000  # bytes
_MOST_SHARDS = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")


class WebDatasetSource:
    """Shards: a `.tar`, a pattern such as `shard-{000..009}.tar`, or a folder with such files.

    A sample's caption is its `.txt` or `.caption`, or `text` or `caption` in its `.json`. Pictures
    are read where they lie, from any place of any shard: their order, how ranks share them and how
    a run resumes are those of files, and nothing is unpacked. So the shards must be on a disk, or
    on what is mounted as one. Members that are no regular files, too large, or named to lead out
    of the archive are refused.
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
        pictures: list[Listed] = []
        beside = 0
        there = [shard for shard in shards if shard.is_file()]
        problems = [
            Problem(str(shard), "there is no such shard; copy it there, or name others.")
            for shard in shards
            if not shard.is_file()
        ]
        contents, wrong = ShardIndex(location, asked.cache_dir).contents(there, _read_shard)
        problems += wrong
        for shard, rows in zip(there, contents, strict=True):
            for row in rows:
                sample = _Sample(*row)
                listed = sample.listed(shard, asked)
                if listed is not None:
                    pictures.append(listed)
                    beside += len(sample.pictures) - 1
                    if not listed.captions:
                        what = sample.problem or "has no caption"
                        what += (
                            "; put a .txt or a .json with `text` of the same name into the shard."
                        )
                        problems.append(Problem(str(listed.path), what))
        if not pictures and not problems:
            problems = [Problem(location, "its shards hold no pictures; name others.")]
        notes = several_note(each.captions for each in pictures)
        if beside:
            are = counted(beside, "picture is", "pictures are")
            notes.append(
                f"{location}: {are} left out, of samples that hold several: of `0.png` and "
                "`0.mask.png` the first is read."
            )
        if loose := _loose_pictures(folder):
            are = counted(loose, "picture beside the shards is", "pictures beside the shards are")
            notes.append(f"{folder}: {are} left out.")
        root = folder if folder.is_dir() else _common_folder(shards)
        return Listing(root, pictures, counted(len(shards), "shard"), problems, notes)


@dataclass
class _Sample:
    """The files of one name in a shard: pictures by their names, offsets and lengths, and texts."""

    pictures: list[tuple[str, int, int]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    json: str = ""
    problem: str = ""  # what is wrong with the JSON, once it has been looked at

    def listed(self, shard: Path, asked: Asked) -> Listed | None:
        if not self.pictures:
            return None
        # the one of the fewest endings: a `.mask.png` beside is no picture to train on
        picture = min(self.pictures, key=lambda each: Path(each[0]).name.count("."))
        path = ArchiveMember.of(shard, *picture)
        captions = [asked.caption] if asked.caption is not None else self._captions(asked)
        # one part, as a picture beside the shards would have; the shard's name tells samples of one
        # number apart
        called = f"{shard.stem}-{path.inside.replace('/', '-')}"
        return Listed(path, called, captions)

    def _captions(self, asked: Asked) -> list[str]:
        found = [line for each in self.texts for line in caption_lines(each)]
        if self.json and (asked.caption_column is not None or not found):
            try:
                found = _json_captions(self.json, asked.caption_column)
            except ValueError as error:
                found, self.problem = [], str(error)
        joined = [" ".join(each.split()) for each in found]
        return list(dict.fromkeys(filter(None, joined)))


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
    return [[each.pictures, each.texts, each.json] for each in samples.values()], problems


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
    sample = samples.setdefault((path.parent / base).as_posix(), _Sample())
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        sample.pictures.append((path.as_posix(), member.offset_data, member.size))
        return []
    file = archive.extractfile(member)
    data = b"" if file is None else file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"cannot be read as UTF-8 text ({error}); write it again as UTF-8."
        return [Problem(where, what)]
    if suffix in _TEXTS:
        sample.texts.append(text)
    else:
        sample.json = text
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
