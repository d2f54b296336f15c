"""What the headers of tar files said, kept in the cache as long as the files are as then."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sdtune.data.problems import Problem
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.cache_folder import default_cache_dir
from sdtune.files.regular_file import check_file

__all__ = ["ShardIndex"]

log = logging.getLogger(__name__)

# part of every index: raise it when something else is read out of a shard
VERSION = 3


class ShardIndex:
    """The contents of the shards of one location, by each one's path, length and time.

    To read the headers of a shard is a seek for each of its files. One that has changed, or that
    had problems, is read anew.

    Args:
        location: What the user calls the shards.
        cache_dir: Where indices are kept; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
    """

    def __init__(self, location: str, cache_dir: str | Path | None = None) -> None:
        root = Path(cache_dir).expanduser() if cache_dir else default_cache_dir()
        key = str(Path(location).absolute())
        digest = hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()
        self._header = {"shards": VERSION, "location": key}
        self.path = root / "manifests" / f"{digest}.shards.jsonl"

    def contents(
        self, shards: Sequence[Path], read: Callable[[Path], tuple[list[Any], list[Problem]]]
    ) -> tuple[list[list[Any]], list[Problem]]:
        """Look up what shards hold, and read those that are not known.

        Args:
            shards: Tar files that are there.
            read: Reads one: what it holds, as JSON can, and its problems.

        Returns:
            What each holds, and all problems.

        Raises:
            OSError: If a shard cannot be read.
        """
        kept = self._read()
        rows: list[list[Any]] = []
        problems: list[Problem] = []
        has_changed = len(kept) != len(shards)
        for shard in shards:
            status = shard.stat()
            version = [str(shard), status.st_size, status.st_mtime_ns]
            known = kept.get(str(shard))
            if known is not None and known[:3] == version:
                rows.append(known)
                continue
            content, wrong = read(shard)
            problems += wrong
            rows.append([*version, content, not wrong])
            has_changed = True
        if has_changed:
            self._write([row[:4] for row in rows if row[-1] is not False])
        return [row[3] for row in rows], problems

    def _read(self) -> dict[str, list[Any]]:
        try:
            check_file(self.path)
            with self.path.open(encoding="utf-8") as file:
                if json.loads(file.readline()) != self._header:
                    return {}
                rows = [json.loads(line) for line in file]
            return {path: [path, size, time, content] for path, size, time, content in rows}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            log.warning("%s cannot be read (%s); shards are looked at again.", self.path, error)
            return {}

    def _write(self, rows: Sequence[list[Any]]) -> None:
        try:
            with (
                replaced_atomically(self.path, synced=False) as temporary,
                temporary.open("w", encoding="utf-8") as file,
            ):
                for row in (self._header, *rows):
                    file.write(json.dumps(row) + "\n")
        except OSError as error:
            log.warning("What the shards hold is not kept: %s (%s).", self.path, error)
