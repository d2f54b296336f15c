"""A new run writes into new folders and overwrites nobody's work."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

__all__ = ["refuse_used_folder"]


def refuse_used_folder(trainer: Trainer, folder: str | Path) -> None:
    """Raise if a run that is not resumed would write into a folder that holds something.

    Called before the first step, when it is known whether a checkpoint has been loaded.

    Args:
        trainer: The trainer.
        folder: Where a callback is going to write.

    Raises:
        FileExistsError: If the folder is not empty.
    """
    if trainer.ckpt_path is not None or not trainer.is_global_zero:
        return
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f"Expected {folder} to be empty, but another run has written into it: give "
            "`trainer.default_root_dir` or the logger another folder, or resume that run."
        )
