"""A new run writes into new folders and overwrites nobody's work."""

from __future__ import annotations

from pathlib import Path

__all__ = ["refuse_used_folder"]


def refuse_used_folder(folder: str | Path) -> None:
    """Raise if a folder that a new run is going to write into holds something.

    Args:
        folder: The folder; it need not exist.

    Raises:
        FileExistsError: If the folder is not empty.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"Expected {folder} to be empty, but another run has written into it: give "
            "`trainer.default_root_dir` or the logger another folder, or resume that run."
        )
