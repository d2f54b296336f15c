"""What a large folder held when it was last scanned, valid as long as no file of it has changed."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from sdtune._imports import HEIF_AVAILABLE, JXL_AVAILABLE
from sdtune.data.archive_member import ArchiveMember
from sdtune.data.image_folder import holds_pictures, linked_folders, name_below, walk_files
from sdtune.data.pictures import Picture
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.cache_folder import default_cache_dir

__all__ = ["KEPT_ABOVE", "ScanSnapshot"]

log = logging.getLogger(__name__)

KEPT_ABOVE = 5_000
"""Pictures: smaller sets are scanned anew within a second."""

# part of every key: raise it when a scan finds something else in the same files
VERSION = 5  # 5: dates are no repeats, and splits go by all words; metadata not read are told

_PATHS = ("path", "mask")


class ScanSnapshot:
    """The pictures of one folder as columns of a file, with a hash of the names and times below it.

    A scan of a million pictures joins them with captions, looks into each and checks all of it,
    which takes minutes; to see that none of these files has changed takes seconds.

    Args:
        folder: The folder.
        cache_dir: Where snapshots are kept; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
        how: How it is read: all that a scan depends on besides the files.
    """

    def __init__(self, folder: Path, cache_dir: str | Path | None, how: Mapping[str, Any]) -> None:
        self.folder = folder
        root = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        plugins = [HEIF_AVAILABLE, JXL_AVAILABLE]
        self._key = json.dumps([VERSION, str(folder.resolve()), plugins, dict(how)], default=str)
        digest = hashlib.sha256(self._key.encode()).hexdigest()
        self.path = root / "manifests" / f"{digest}.scan.json"
        self._name_of = name_below(folder)
        self._state = ""

    def read(self) -> tuple[list[Picture], dict[str, Any]] | None:
        """Read the pictures, if there is a snapshot and nothing has changed.

        Call it before the scan.

        Returns:
            The pictures and what else was kept; or None. A damaged snapshot counts as none.
        """
        is_there = self.path.is_file()
        # before anything is read: what changes meanwhile makes the next scan anew
        files = self._look(collect=is_there)
        if not is_there:
            return None
        try:
            with self.path.open(encoding="utf-8") as file:
                if json.loads(file.readline()) != [self._key, self._state]:
                    return None
                rest = json.loads(file.readline())
                columns = json.loads(file.readline())
            return _pictures(columns, files), rest
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read (%s); pictures are looked at again.", self.path, error)
            return None

    def write(self, pictures: list[Picture], rest: Mapping[str, Any]) -> None:
        """Keep pictures, unless some of them lie elsewhere.

        Args:
            pictures: The pictures.
            rest: What else is kept, as JSON can hold it.
        """
        columns: dict[str, list[Any]] = {}
        for field in fields(Picture):
            values = [getattr(each, field.name) for each in pictures]
            if field.name in _PATHS:
                if not all(value is None or self._lies_below(value) for value in values):
                    return  # written out of tables or archives into the cache
                values = [value and self._name_of(value) for value in values]
            if field.default is MISSING or any(value != field.default for value in values):
                columns[field.name] = values
        try:
            with (
                replaced_atomically(self.path, synced=False) as temporary,
                temporary.open("w", encoding="utf-8") as file,
            ):
                for line in ([self._key, self._state], rest, columns):
                    json.dump(line, file)
                    file.write("\n")
        except OSError as error:
            log.warning("What the pictures are is not kept: %s (%s).", self.path, error)

    def _lies_below(self, path: Path) -> bool:
        is_file = not isinstance(path, ArchiveMember)
        return is_file and str(path) == str(self.folder / self._name_of(path))

    def _look(self, collect: bool) -> dict[str, Path]:
        """Take a hash of names, lengths and times of all files; return these by name if asked."""
        digest = hashlib.blake2b()
        files: dict[str, Path] = {}
        for path in walk_files(self.folder):
            name = self._name_of(path)
            if collect:
                files[name] = path
            try:
                status = path.stat()
                version = f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n"
            except OSError:
                version = f"{name}\0\n"
            digest.update(version.encode(errors="surrogateescape"))
        for path in linked_folders(self.folder):
            version = f"{self._name_of(path)}\0{os.path.realpath(path)}\0{holds_pictures(path)}\n"
            digest.update(version.encode(errors="surrogateescape"))
        self._state = digest.hexdigest()
        return files


def _pictures(columns: dict[str, list[Any]], files: Mapping[str, Path]) -> list[Picture]:
    names = list(columns)
    values = [
        [value and files[value] for value in columns.pop(name)]
        if name in _PATHS
        else [tuple(value) if isinstance(value, list) else value for value in columns.pop(name)]
        for name in names
    ]
    return [Picture(**dict(zip(names, row, strict=True))) for row in zip(*values, strict=True)]
