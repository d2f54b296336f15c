"""A file of a few hundred entries, each some tensors under a key: written once, then mapped."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.regular_file import open_file

__all__ = ["KEY_LENGTH", "Features", "Shard", "ShardError", "layout_of", "write_shard"]

Features = Mapping[str, Tensor]
"""One entry: tensors by name."""

KEY_LENGTH = 32
"""Bytes of a key, such as those of a SHA-256."""

_KIND = "sdtune features 1"
_KEYS, _SUMS, _FIELD = "keys", "checksums", "field."
_LONGEST_HEADER = 1_000_000  # bytes; one of a dozen tensors takes some hundred
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class ShardError(ValueError):
    """A file that is no whole shard, or an entry that is not what was written."""


def layout_of(features: Features) -> tuple[Any, ...]:
    """Say what entries of one shard have in common: names, types and shapes."""
    return tuple((name, each.dtype, tuple(each.shape)) for name, each in sorted(features.items()))


def write_shard(path: Path, entries: Mapping[bytes, Features]) -> None:
    """Write entries of one layout, all of them or none.

    The file is in the safetensors format: `keys` (N, 32), `checksums` (N,) and each tensor of the
    entries, stacked, under `field.` and its name.

    Args:
        path: The file, which nobody else writes; its folder is made if it is missing.
        entries: Key -> tensors on the CPU; at least one, all of one layout.

    Raises:
        OSError: If it cannot be written.
    """
    rows = list(entries.values())
    keys = np.frombuffer(b"".join(entries), np.uint8).reshape(-1, KEY_LENGTH)
    sums = [crc32(b"".join(_raw(row[name]) for name in sorted(row))) for row in rows]
    tensors = {_FIELD + name: torch.stack([row[name] for row in rows]) for name in rows[0]}
    tensors |= {_KEYS: torch.from_numpy(keys.copy()), _SUMS: torch.tensor(sums)}
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(save(tensors, {"format": "pt", "kind": _KIND}))


@dataclass(frozen=True)
class _Field:
    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int  # of the first row's bytes in the file
    length: int  # bytes of a row


class Shard:
    """A shard on disk, of which only the header is read until an entry is asked for.

    Args:
        path: The file.

    Attributes:
        size: Bytes of the file.
        count: Number of entries.

    Raises:
        OSError: If it cannot be read.
        ShardError: If it is cut off, or no shard.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_file(path) as file:
            self.size = file.seek(0, 2)
            file.seek(0)
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= _LONGEST_HEADER:
                raise ShardError(f"{path}: is no shard of features.")
            self.count, self._fields = self._parsed(file.read(length), 8 + length)

    def keys(self) -> np.ndarray:
        """Read the keys of all entries, (N,) of 32 bytes each, in their order."""
        field = self._fields[_KEYS]
        with self.path.open("rb") as file:
            file.seek(field.begin)
            data = file.read(field.length * self.count)
        return np.frombuffer(data, f"S{KEY_LENGTH}")

    def map(self) -> mmap.mmap:
        """Map the file into memory."""
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def read(self, mapped: mmap.mmap, row: int) -> dict[str, Tensor]:
        """Copy an entry out of the file.

        Args:
            mapped: The file, see `map`.
            row: Which entry.

        Returns:
            Its tensors, on the CPU.

        Raises:
            ShardError: If a bit of it is not as it was written.
        """
        fields = {
            name.removeprefix(_FIELD): (field, bytearray(_row(mapped, field, row)))
            for name, field in sorted(self._fields.items())
            if name.startswith(_FIELD)
        }
        written = int.from_bytes(_row(mapped, self._fields[_SUMS], row), "little")
        if crc32(b"".join(fields[name][1] for name in sorted(fields))) != written:
            raise ShardError(f"{self.path}: its entry {row} is damaged.")
        return {
            name: torch.frombuffer(data, dtype=field.dtype).reshape(field.shape)
            for name, (field, data) in fields.items()
        }

    def _parsed(self, text: bytes, begin: int) -> tuple[int, dict[str, _Field]]:
        try:
            header = json.loads(text)
            if header.pop("__metadata__")["kind"] != _KIND:
                raise ShardError(f"{self.path}: is no shard of this version.")
            count = int(header[_KEYS]["shape"][0])
            fields = {name: _field(each, begin) for name, each in header.items()}
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ShardError(f"{self.path}: is no shard of features ({error!r}).") from error
        if self.size != max(each.begin + each.length * count for each in fields.values()):
            raise ShardError(f"{self.path}: is cut off.")
        return count, fields


def _field(header: Mapping[str, Any], begin: int) -> _Field:
    dtype = _DTYPES[header["dtype"]]
    shape = tuple(header["shape"][1:])
    return _Field(
        dtype, shape, begin + header["data_offsets"][0], math.prod(shape) * dtype.itemsize
    )


def _row(mapped: mmap.mmap, field: _Field, row: int) -> bytes:
    return mapped[field.begin + row * field.length : field.begin + (row + 1) * field.length]


def _raw(value: Tensor) -> bytes:
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
