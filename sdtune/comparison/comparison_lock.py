"""One comparison at a time is carried out in a folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from sdtune._checks import ArgumentsError
from sdtune.run_folder.run_lock import take_lock

__all__ = ["comparison_problem", "only_comparison"]

_LOCK = ".compare.lock"


def comparison_problem(folder: Path) -> str | None:
    """Say that another process compares in a folder, if one does.

    Args:
        folder: Where runs and results go. Nothing is written there.

    Returns:
        A sentence, or None.
    """
    if not (folder / _LOCK).is_file():
        return None
    try:
        with only_comparison(folder):
            return None
    except ArgumentsError as error:
        [problem] = error.problems
        return problem


@contextmanager
def only_comparison(folder: Path) -> Iterator[None]:
    """Keep other comparisons out of a folder, whose outcomes and results they would replace.

    Args:
        folder: Where runs and results go; made if it is missing.

    Yields:
        Nothing.

    Raises:
        ArgumentsError: If another process compares there.
        OSError: If the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=0)
    try:
        is_held = take_lock(lock)
    except Timeout:
        raise ArgumentsError(
            [
                f"Expected no other `sdtune compare` to run in {folder}, but one does "
                f"({folder / _LOCK} is locked): wait for it or end it, or name another `--output`."
            ]
        ) from None
    try:
        yield
    finally:
        if is_held:
            lock.release()
