"""TensorBoard's files of a run: how long they were at a checkpoint, and what is after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from sdtune.files.atomic_file import sync
from sdtune.files.regular_file import special_kind

__all__ = ["EVENT_FILES", "event_lengths", "forget_events"]

EVENT_FILES = "events.out.tfevents.*"
"""What TensorBoard's files are called."""


def event_lengths(folder: Path) -> dict[str, int]:
    """Measure TensorBoard's files, which have been flushed, and wait until they are on the disk.

    Args:
        folder: A run folder.

    Returns:
        Name -> length in bytes.
    """
    files = sorted(each for each in folder.glob(EVENT_FILES) if each.is_file())
    for file in files:
        sync(file)
    return {file.name: file.stat().st_size for file in files}


def forget_events(files: Iterable[Path], lengths: Mapping[str, int]) -> None:
    """Cut off what a run wrote after the checkpoint that it is resumed from, and writes anew.

    Otherwise those points would be there twice. TensorBoard's own way, to purge from a step on,
    cannot tell the step that the checkpoint is of from the one after, which have one number.

    Args:
        files: Those of earlier starts. What a link leads to may be anything, and is left alone.
        lengths: What `event_lengths` returned at the checkpoint.
    """
    for file in files:
        if special_kind(file):
            continue
        length = lengths.get(file.name)
        if length is None:
            file.unlink(missing_ok=True)
        elif file.is_file() and not file.is_symlink() and file.stat().st_size > length:
            os.truncate(file, length)
