"""The runs below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.run_process import LOCK

__all__ = ["is_run", "newest_run"]

_DEPTH = 3  # runs/compare/<name>/<digest>


def is_run(folder: Path) -> bool:
    """Tell whether a folder is a run's, be it one that has only begun.

    Args:
        folder: Any folder.
    """
    places = RunFolder(folder)
    return places.config.is_file() or (folder / LOCK).is_file() or places.has_curves


def newest_run(folder: Path) -> Path | None:
    """Find the run that was started last.

    Args:
        folder: A run's folder, or one of runs, or of recipes' runs.

    Returns:
        The run's folder; None if there is none.
    """
    return max(_runs(folder, _DEPTH), key=_start, default=None)


def _runs(folder: Path, depth: int) -> Iterator[Path]:
    if is_run(folder):
        yield folder
    elif depth:
        for each in sorted(_folders(folder)):
            yield from _runs(each, depth - 1)


def _folders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [folder / each.name for each in entries if each.is_dir()]
    except OSError:  # it has just been deleted, or is not ours to read
        return []


def _start(run: Path) -> float:
    """Say when a run was started, or resumed: each start writes its recipe."""
    for path in (RunFolder(run).latest_config, run / LOCK, run):
        try:
            return path.stat().st_mtime
        except OSError:
            continue
    return 0.0
