"""What is known of each picture's file: size, hash, whether it opens. Found once, and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from sdtune.data.decoding import PictureError, header_size, read_picture
from sdtune.data.image_folder import name_below
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.cache_folder import default_cache_dir
from sdtune.files.regular_file import check_file

__all__ = ["DECODED_AT_MOST", "FileFacts", "Manifest", "perceptual_hash"]

log = logging.getLogger(__name__)

# part of every manifest: raise it when something else is found out of a file
VERSION = 2

# more pictures than this are not decoded to see whether they are whole: it takes a minute here
# and an hour for a million, whose damaged ones show when they are read
DECODED_AT_MOST = 20_000

_AT_ONCE = 64
_SHOW_PROGRESS_ABOVE = 2_000


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What is known of a picture's file.

    Attributes:
        size: Width and height in pixels, as it is meant to be seen; (0, 0) if it does not open.
        sha256: Of the file's bytes, in hexadecimal; empty if it cannot be read.
        problem: Why it does not open, as a `Problem` says it but for what to do; else empty.
        perceptual: See `perceptual_hash`; None if the picture was not decoded.
    """

    size: tuple[int, int]
    sha256: str
    problem: str = ""
    perceptual: int | None = None


class _Version(NamedTuple):
    """Which file, and what tells that it is as it was: its length and when it was changed."""

    name: str
    length: int
    modified: int  # nanoseconds


class _Entry(NamedTuple):
    version: _Version
    decoded: bool
    facts: FileFacts


class Manifest:
    """The facts of the pictures below a folder, kept in the cache as long as the files are as then.

    Args:
        folder: The folder.
        cache_dir: Where manifests are kept; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
        of: Whose pictures these are, where the folder holds those of several: each has its own.
    """

    def __init__(
        self, folder: str | Path, cache_dir: str | Path | None = None, of: str = ""
    ) -> None:
        self.folder = Path(folder)
        self.of = of
        root = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        key = str(self.folder.resolve()) + (f"\0{of}" if of else "")
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        self.path = root / "manifests" / f"{digest}.jsonl"

    def facts(self, paths: Sequence[Path], decode: bool | None = None) -> dict[Path, FileFacts]:
        """Find out what is not known yet, on all cores, and keep it.

        Args:
            paths: Pictures below the folder.
            decode: Whether each is decoded, to know that all of it can be read. None for up to
                20,000 pictures.

        Returns:
            Path -> facts, in the order of the paths; without `perceptual` where none is decoded,
            even if it is known: nothing may follow from what was looked at before.
        """
        if decode is None:
            decode = len(paths) <= DECODED_AT_MOST
        kept = self._read()
        # one table for all stages: memory counts where there are a million
        entries: dict[Path, Any] = {}
        unknown: list[Path] = []
        name_of = name_below(self.folder)
        for path in paths:
            if path in entries:
                continue
            version = _version(path, name_of(path))
            entry = kept.pop(version.name, None)
            # what did not open is tried again: a plug-in may have been installed since
            is_known = entry and entry.version == version and not entry.facts.problem
            if entry and is_known and entry.decoded >= decode:
                entries[path] = entry
            else:
                entries[path] = version
                unknown.append(path)
        for path, facts in _find_out(unknown, decode):
            entries[path] = _Entry(entries[path], decode, facts)
        if unknown:
            self._write(entries.values())
        for path, entry in entries.items():
            facts = entry.facts
            is_asked = decode or facts.perceptual is None
            entries[path] = facts if is_asked else replace(facts, perceptual=None)
        return entries

    def _read(self) -> dict[str, _Entry]:
        try:
            check_file(self.path)
            with self.path.open(encoding="utf-8") as file:
                if json.loads(file.readline()) != self._header():
                    return {}
                return {entry.version.name: entry for entry in map(_parse, file)}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s cannot be read (%s); pictures are looked at again.", self.path, error)
            return {}

    def _write(self, entries: Iterable[_Entry]) -> None:
        try:
            with (
                replaced_atomically(self.path) as temporary,
                temporary.open("w", encoding="utf-8") as file,
            ):
                file.write(json.dumps(self._header()) + "\n")
                for version, decoded, facts in entries:
                    known = [*facts.size, facts.sha256, facts.problem, facts.perceptual]
                    file.write(json.dumps([*version, decoded, *known]) + "\n")
        except OSError as error:
            log.warning("What the pictures are is not kept: %s (%s).", self.path, error)

    def _header(self) -> dict[str, Any]:
        header = {"manifest": VERSION, "folder": str(self.folder.resolve())}
        return {**header, "of": self.of} if self.of else header


def perceptual_hash(image: Image.Image) -> int:
    """Hash what a picture looks like: of two that look alike, few bits differ.

    Each bit says whether one of 8 x 8 places is brighter than its neighbour to the right, in the
    picture shrunk to 9 x 8 greys (the difference hash, Krawetz 2013).

    Args:
        image: A picture.

    Returns:
        64 bits.
    """
    grey = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BOX), np.int16)
    bits = (grey[:, :-1] > grey[:, 1:]).ravel()  # (8, 9) -> (64,)
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _version(path: Path, name: str) -> _Version:
    try:
        status = path.stat()
    except OSError:
        return _Version(name, 0, 0)
    return _Version(name, status.st_size, status.st_mtime_ns)


def _find_out(paths: Sequence[Path], decode: bool) -> Iterator[tuple[Path, FileFacts]]:
    groups = [paths[first : first + _AT_ONCE] for first in range(0, len(paths), _AT_ONCE)]
    quiet = None if len(paths) > _SHOW_PROGRESS_ABOVE else True  # None: where nobody looks
    with (
        ThreadPoolExecutor(max_workers=os.cpu_count()) as pool,
        tqdm(total=len(paths), desc="Looking at pictures", unit="", disable=quiet) as progress,
    ):
        found = pool.map(_facts_of, groups, [decode] * len(groups))
        for group, facts in zip(groups, found, strict=True):
            yield from zip(group, facts, strict=True)
            progress.update(len(group))


def _facts_of(paths: Sequence[Path], decode: bool) -> list[FileFacts]:
    return [_look_at(path, decode) for path in paths]


def _look_at(path: Path, decode: bool) -> FileFacts:
    try:
        size = header_size(path)  # also refuses what is no file, before its bytes are read
        perceptual = perceptual_hash(read_picture(path)) if decode else None
        with path.open("rb") as file:
            return FileFacts(
                size, hashlib.file_digest(file, "sha256").hexdigest(), perceptual=perceptual
            )
    except PictureError as error:
        return FileFacts((0, 0), "", f"does not open: {error.reason}")
    except OSError as error:
        return FileFacts((0, 0), "", f"does not open: {error}")


def _parse(line: str) -> _Entry:
    name, length, modified, decoded, width, height, digest, problem, perceptual = json.loads(line)
    facts = FileFacts((width, height), digest, problem, perceptual)
    return _Entry(_Version(name, length, modified), decoded, facts)
