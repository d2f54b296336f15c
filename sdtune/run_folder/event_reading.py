"""TensorBoard's files, record by record, and where one of them could not be read any further."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from sdtune.files.confined_path import lies_within
from sdtune.files.regular_file import open_file, special_kind
from sdtune.run_folder.event_files import EVENT_FILES
from sdtune.run_folder.run_process import training_process

__all__ = ["EventReading", "event_lengths_until"]

_LENGTH, _SUM = 8, 4  # bytes of a record's length, and of each of its two checksums
_LOOKS = ("eval/", "samples/")  # tags that have the number of their step, and no step before it


class _UnreadableError(Exception):
    """A record that is not as it was written, or not all of it."""


@dataclass
class EventReading:
    """Reads the event files of a run, oldest first.

    `tensorboard` has a reader too, which takes a damaged record for the end of its file.

    Args:
        folder: The run's folder.
        within: The folder that the files must lie in, links followed; None for anywhere. What
            lies elsewhere, or is no file, is passed over: see `not_read`.
        problems: What could not be read so far, a sentence each.
    """

    folder: Path
    within: Path | None = None
    problems: list[str] = field(default_factory=list)

    def Load(self) -> Iterator[Any]:  # noqa: N802  # the name that `EventAccumulator` calls
        """Yield the events, and note what cannot be read."""
        paths = sorted(self.folder.glob(EVENT_FILES))
        for path in paths:
            if special_kind(path) or not (self.within is None or lies_within(path, self.within)):
                continue
            try:
                with open_file(path) as file:
                    yield from self._events(path, file, is_newest=path == paths[-1])
            except OSError as error:
                self.problems.append(f"{path} is not read: {error.strerror or error}.")

    def _events(self, path: Path, file: BinaryIO, is_newest: bool) -> Iterator[Any]:
        step: int | None = None
        begin, size = 0, os.fstat(file.fileno()).st_size
        try:
            while record := _record(file, size):
                event = _parsed(record)
                yield event
                if event.HasField("summary"):
                    step = max(event.step, step or 0)
                begin = file.tell()
        except (EOFError, _UnreadableError) as error:
            is_cut_off = isinstance(error, EOFError)
            if is_cut_off and is_newest and training_process(self.folder) is not None:
                return  # the rest is about to be written
            self.problems.append(_sentence(path, begin, size, step, is_cut_off))


def event_lengths_until(files: Iterable[Path], step: int) -> dict[str, int]:
    """Measure TensorBoard's files as they were when all up to a step was in them, and no more.

    Lightning counts from 0 what a step logs: of one number are the looks at a step, and what the
    step after it logs.

    Args:
        files: The files.
        step: Optimizer steps.

    Returns:
        Name -> length in bytes.
    """
    lengths = {}
    for path in files:
        if not special_kind(path):
            with open_file(path) as file:
                lengths[path.name] = _length_until(file, step)
    return lengths


def _length_until(file: BinaryIO, step: int) -> int:
    length, size = 0, os.fstat(file.fileno()).st_size
    try:
        while record := _record(file, size):
            event = _parsed(record)
            is_look = all(each.tag.startswith(_LOOKS) for each in event.summary.value)
            if event.step > step or (event.step == step and not is_look):
                return length
            length = file.tell()
    except (EOFError, _UnreadableError):
        pass  # nothing can be read of what is after it
    return length


def _parsed(record: bytes) -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    try:
        return Event.FromString(record)
    except Exception as error:  # the implementations of protobuf have exceptions of their own
        raise _UnreadableError from error


def _record(file: BinaryIO, size: int) -> bytes:
    """Read a record: its length, a checksum of that, its bytes and a checksum of them.

    Raises:
        EOFError: If the file ends within it.
        _UnreadableError: If a checksum is wrong.
    """
    from tensorboard.summary.writer.record_writer import masked_crc32c

    length = file.read(_LENGTH)
    if not length:
        return b""
    header = length + _exactly(file, _LENGTH + _SUM - len(length))
    length, told = header[:_LENGTH], header[_LENGTH:]
    if int.from_bytes(told, "little") != masked_crc32c(length):
        raise _UnreadableError
    count = int.from_bytes(length, "little")
    if count > size - file.tell():  # before there is room made for it
        raise EOFError
    record, told = _exactly(file, count), _exactly(file, _SUM)
    if int.from_bytes(told, "little") != masked_crc32c(record):
        raise _UnreadableError
    return record


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count)
    if len(found) < count:
        raise EOFError
    return found


def _sentence(path: Path, begin: int, size: int, step: int | None, is_cut_off: bool) -> str:
    known = "cannot be read" if step is None else f"can be read only up to step {step}"
    fault = "it is cut off there" if is_cut_off else f"it is damaged at byte {begin} of {size}"
    return f"{path} {known}: {fault}, and what it held after that is in no curve."
