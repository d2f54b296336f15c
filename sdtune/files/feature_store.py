"""Tensors that are costly to compute, on disk under keys that say all that went into them."""

from __future__ import annotations

import logging
import mmap
import os
import re
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from sdtune.files.atomic_file import is_temporary
from sdtune.files.cache_folder import cache_limit, size_words
from sdtune.files.feature_shard import (
    KEY_LENGTH,
    Features,
    Shard,
    ShardError,
    layout_of,
    write_shard,
)

__all__ = ["FeatureStore"]

log = logging.getLogger(__name__)

_SHARD = re.compile(r"[0-9a-f]{32}\.safetensors")
_KEYS = f"S{KEY_LENGTH}"
_SHARD_BYTES = 32_000_000
_WAITING_BYTES = 256_000_000  # of all layouts together, until the largest is written
_UNWRITTEN_BYTES = 2_000_000_000  # in memory, where the disk takes none
_MAPPED_AT_ONCE = 16  # shards: what training maps is bounded, however many there are
_IN_USE = 24 * 3600.0  # seconds: a run may be reading what was used so lately
_NOTED_EVERY = 3600.0  # seconds between two notes that a shard is used


class FeatureStore:
    """A folder of shards, each with some hundred entries of one layout.

    Memory is bounded whatever their number: 40 bytes an entry for where it is, the shards that are
    mapped, and what waits to be written. Any number of processes, on any number of machines, may
    read and write at once: a shard belongs to the one that wrote it, gets its name when it is
    whole, and never changes. What another wrote is found after `refresh`. A shard that is cut off
    counts as absent; an entry of which a bit has changed does too, with its shard.

    A folder that cannot be written to costs a warning: entries then stay in memory.

    Args:
        folder: Where the shards are; made when first written to.
        limit: Bytes that it may take; None is `$SDTUNE_CACHE_LIMIT` or 100 GB. Beyond, shards go
            that were not used for longest, and never such as were used within a day.
        shard_bytes: About how much one file holds.
    """

    def __init__(
        self, folder: str | Path, limit: int | None = None, shard_bytes: int = _SHARD_BYTES
    ) -> None:
        self.folder = Path(folder)
        self.limit = cache_limit() if limit is None else limit
        self._shard_bytes = shard_bytes
        self._shards: list[Shard] = []
        self._passed_over: set[str] = set()
        self._keys = np.empty(0, _KEYS)
        self._places = np.empty((0, 2), np.uint32)
        self._waiting: dict[Any, dict[bytes, Features]] = {}
        self._bytes: dict[Any, int] = {}
        self._unwritten: dict[bytes, Features] = {}
        self._unwritten_bytes = 0
        self._is_writable = True
        self._mapped: OrderedDict[int, mmap.mmap] = OrderedDict()
        self._noted: dict[int, float] = {}
        self.refresh()

    def __len__(self) -> int:
        """Return the number of entries, those that wait to be written included."""
        return len(self._keys) + len(self._unwritten) + sum(map(len, self._waiting.values()))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is mapped, which another process maps itself."""
        return {**self.__dict__, "_mapped": OrderedDict()}

    def room(self) -> int:
        """Say how many bytes new entries may take: none is deleted that was used within a day."""
        existing = next(each for each in (self.folder, *self.folder.parents) if each.exists())
        now, sizes = time.time(), {True: 0, False: 0}
        for _, status in self._files():
            sizes[now - status.st_mtime < _IN_USE] += status.st_size
        free = shutil.disk_usage(existing).free + sizes[False]
        return max(0, min(self.limit - sizes[True], free))

    def has_room(self, needed: int, keys: Callable[[], Iterable[bytes]]) -> bool:
        """Tell whether entries may be kept, all of them; those that are here take no more room.

        Args:
            needed: Bytes that all take together.
            keys: Gives their keys; it is asked only if they may be here.
        """
        if needed <= self.room():
            return True
        if needed > self.limit or not len(self):
            return False
        known = list(dict.fromkeys(keys()))
        missing = len(self.missing(known))  # which notes that the others are used
        return needed * missing <= self.room() * len(known)

    def missing(self, keys: Sequence[bytes]) -> list[bytes]:
        """Find which keys have no entry, and note that the others are used.

        Args:
            keys: Keys of 32 bytes.

        Returns:
            Those without, in their order, each once.
        """
        distinct = list(dict.fromkeys(keys))
        places = self._find(distinct)
        for shard in np.unique(places[places[:, 0] >= 0, 0]):
            self._note_use(int(shard))
        absent = (key for key, place in zip(distinct, places[:, 0], strict=True) if place < 0)
        return [key for key in absent if self._in_memory(key) is None]

    def get(self, key: bytes) -> Features | None:
        """Read an entry.

        Args:
            key: Its key.

        Returns:
            Its tensors on the CPU; None if there is none, or it is damaged.
        """
        held = self._in_memory(key)
        if held is not None:
            return held
        shard, row = (int(each) for each in self._find([key])[0])
        if shard < 0:
            return None
        try:
            return self._shards[shard].read(self._map(shard), row)
        except (OSError, ValueError) as error:  # ValueError: a ShardError, or nothing to map
            log.warning("%s Its entries are computed again.", f"{error}".rstrip(".") + ".")
            self._forget(shard, delete=isinstance(error, ShardError))
            return None

    def put(self, key: bytes, features: Features) -> None:
        """Add an entry; it is on disk once its shard is full, or with `flush`.

        Args:
            key: 32 bytes that name all that the tensors follow from.
            features: The tensors.

        Raises:
            OSError: If the folder cannot be written to, and memory holds 2 GB already.
        """
        if len(key) != KEY_LENGTH:
            raise ValueError(f"Expected `key` to be {KEY_LENGTH} bytes, but got {len(key)}.")
        held = {name: each.detach().to("cpu").contiguous() for name, each in features.items()}
        length = sum(each.nbytes for each in held.values())
        if not self._is_writable:
            self._unwritten[key] = held
            self._unwritten_bytes += length
            if self._unwritten_bytes > _UNWRITTEN_BYTES:
                raise OSError(
                    f"{self.folder} cannot be written to, and memory is no place for more than "
                    f"{size_words(_UNWRITTEN_BYTES)}: make room there, or name another folder by "
                    "SDTUNE_CACHE."
                )
            return
        layout = layout_of(held)
        self._waiting.setdefault(layout, {})[key] = held
        self._bytes[layout] = self._bytes.get(layout, 0) + length
        if self._bytes[layout] >= self._shard_bytes:
            self._write(layout)
        elif sum(self._bytes.values()) >= _WAITING_BYTES:
            self._write(max(self._bytes, key=self._bytes.__getitem__))

    def flush(self) -> None:
        """Write what waits, and make room if the folder has grown beyond its limit."""
        if self._waiting:
            for layout in list(self._waiting):
                self._write(layout)
            self.refresh()
            self.prune()

    def refresh(self) -> None:
        """Find the shards that were added since, by whatever process."""
        known = {shard.path.name for shard in self._shards} | self._passed_over
        try:
            names = sorted(each.name for each in os.scandir(self.folder))
        except OSError:
            return
        found = []
        for name in names:
            if name.endswith(".safetensors") and name[0] != "." and name not in known:
                shard = self._opened(self.folder / name)
                if shard is None:
                    self._passed_over.add(name)
                else:
                    found.append(shard)
        if found:
            self._index(found)

    def prune(self, limit: int | None = None, in_use: float = _IN_USE) -> int:
        """Delete the shards that were not used for longest, until the others keep to the limit.

        Args:
            limit: Bytes; None is the store's own.
            in_use: Seconds: what was used since is kept.

        Returns:
            Bytes that were deleted, files that a killed process left behind included.
        """
        limit = self.limit if limit is None else limit
        now = time.time()
        deleted = sum(_delete(path) for path in self._left_behind(now - min(in_use, _IN_USE)))
        files = sorted(self._files(), key=lambda each: each[1].st_mtime)
        total = sum(status.st_size for _, status in files)
        for path, status in files:
            if total <= limit or now - status.st_mtime < in_use:
                break
            gone = _delete(path)
            total, deleted = total - gone, deleted + gone
        if total > limit:
            log.warning(
                "%s takes %s, more than its limit of %s: all of it was used within a day. "
                "SDTUNE_CACHE_LIMIT raises the limit.",
                self.folder, size_words(total), size_words(limit),
            )  # fmt: skip
        return deleted

    def _find(self, keys: Sequence[bytes]) -> np.ndarray:
        """Find shard and row of each key, (N, 2) int64; -1 where there is none."""
        places = np.full((len(keys), 2), -1, np.int64)
        if len(self._keys) and len(keys):
            wanted = np.array(keys, _KEYS)
            at = np.searchsorted(self._keys, wanted).clip(max=len(self._keys) - 1)
            found = self._keys[at] == wanted
            places[found] = self._places[at[found]]
        return places

    def _in_memory(self, key: bytes) -> Features | None:
        if key in self._unwritten:
            return self._unwritten[key]
        return next((each[key] for each in self._waiting.values() if key in each), None)

    def _index(self, shards: Sequence[Shard]) -> None:
        """Add the entries of shards to what is known, sorted by key."""
        for number, shard in enumerate(shards, start=len(self._shards)):
            keys, rows = shard.keys(), np.arange(shard.count, dtype=np.uint32)
            order = np.argsort(keys, kind="stable")
            places = np.stack([np.full_like(rows, number), rows[order]], axis=1)
            at = np.searchsorted(self._keys, keys[order])
            self._keys = np.insert(self._keys, at, keys[order])
            self._places = np.insert(self._places, at, places, axis=0)
        self._shards += shards

    def _opened(self, path: Path) -> Shard | None:
        try:
            return Shard(path)
        except FileNotFoundError:  # another process has pruned
            return None
        except (OSError, ShardError) as error:
            log.warning("%s It is passed over; `sdtune cache clear` deletes it.", error)
            return None

    def _write(self, layout: Any) -> None:
        entries = self._waiting.pop(layout)
        self._bytes.pop(layout)
        path = self.folder / f"{uuid4().hex}.safetensors"
        try:
            write_shard(path, entries)
            self._index([Shard(path)])
        except OSError as error:
            self._is_writable = False
            self._unwritten |= entries
            log.warning(
                "%s cannot be written to (%s): what is computed stays in memory.",
                self.folder, error,
            )  # fmt: skip

    def _map(self, shard: int) -> mmap.mmap:
        if shard not in self._mapped:
            self._note_use(shard)
            self._mapped[shard] = self._shards[shard].map()
            if len(self._mapped) > _MAPPED_AT_ONCE:
                self._mapped.popitem(last=False)[1].close()
        self._mapped.move_to_end(shard)
        return self._mapped[shard]

    def _note_use(self, shard: int) -> None:
        """Mark a shard as used, so that none is deleted that a run still needs."""
        now = time.time()
        if now - self._noted.get(shard, 0.0) > _NOTED_EVERY:
            self._noted[shard] = now
            _attempt(lambda: os.utime(self._shards[shard].path))

    def _forget(self, shard: int, delete: bool) -> None:
        if shard in self._mapped:
            self._mapped.pop(shard).close()
        if delete:
            _delete(self._shards[shard].path)
        kept = self._places[:, 0] != shard
        self._keys, self._places = self._keys[kept], self._places[kept]

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self.folder.glob("[!.]*.safetensors"):
            # others are not counted and never deleted: somebody has put them there
            status = _attempt(path.stat) if _SHARD.fullmatch(path.name) else None
            if status is not None:
                yield path, status

    def _left_behind(self, before: float) -> Iterator[Path]:
        for path in self.folder.glob(".*.tmp"):
            status = _attempt(path.stat) if is_temporary(path.name) else None
            if status is not None and status.st_mtime <= before:
                yield path


def _attempt(act: Callable[[], Any]) -> Any:
    """Do what another process may have made impossible; None if it has."""
    try:
        return act()
    except OSError:
        return None


def _delete(path: Path) -> int:
    """Delete a file, and return how many bytes that freed."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
