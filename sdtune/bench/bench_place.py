"""Where a bench may go: it takes the place of an earlier one, and of nobody's own files."""

from __future__ import annotations

from pathlib import Path

from sdtune.files.json_file import has_keys
from sdtune.files.new_file import new_file_problem

__all__ = ["BENCH_JSON", "BENCH_PLOT", "BENCH_TEXT", "START_JSON", "bench_problem"]

BENCH_JSON, BENCH_TEXT, BENCH_PLOT = "bench.json", "bench.md", "bench.png"
START_JSON = "start.json"

_BENCH_KEYS = frozenset({"version", "command", "machine", "rows"})
_START_KEYS = frozenset({"version", "recipe", "stages"})


def bench_problem(folder: Path, is_start: bool = False) -> str | None:
    """Say why what is measured shall not be written into a folder, which may hold other things.

    Args:
        folder: Where it would go.
        is_start: Whether a start is timed, which has a file of its own.

    Returns:
        A sentence; None if no file of that name is there yet, or if they are an earlier bench's.
    """
    if not folder.is_dir():
        if folder.exists():
            return f"Expected `--output` to name a folder, but {folder} is a file."
        return new_file_problem(folder)
    names = (START_JSON,) if is_start else (BENCH_JSON, BENCH_TEXT, BENCH_PLOT)
    paths = [folder / name for name in names]
    found = [each for each in paths if each.exists() or each.is_symlink()]
    if not found or has_keys(paths[0], _START_KEYS if is_start else _BENCH_KEYS):
        return None
    return (
        f"Expected `--output` to name a new folder, or one that holds the {names[0]} of an earlier "
        f"`sdtune bench`, but `{found[0]}` is there; name another."
    )
