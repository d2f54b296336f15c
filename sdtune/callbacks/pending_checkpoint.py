"""A checkpoint that is written and has no name yet."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

__all__ = ["PendingCheckpoint", "moment_of", "remove_checkpoint", "unwritten"]


@dataclass(frozen=True)
class PendingCheckpoint:
    """A checkpoint that is written and has no name yet.

    Attributes:
        temporary: The file.
        path: The name that it shall have.
        step: Optimizer steps.
        moment: What `moment_of` returned when it was written.
    """

    temporary: Path
    path: Path
    step: int
    moment: tuple[int, int]


def moment_of(trainer: Trainer) -> tuple[int, int]:
    """Give Lightning's counts that move on when all of a step, or of an epoch, is logged.

    Args:
        trainer: The trainer.
    """
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress.total  # Lightning annotates a base class of what it is
    return int(loop.epoch_loop._batches_that_stepped), int(epochs.completed)


def unwritten(path: Path, step: int, error: OSError) -> OSError:
    """Word why a checkpoint could not be written.

    Args:
        path: The name that it should have had.
        step: Optimizer steps.
        error: What the system says.
    """
    reason = error.strerror or str(error)
    intact = "the checkpoint before it is intact" if path.exists() else "there is none before it"
    return type(error)(
        f"Expected to write {path} at step {step}, but {reason[:1].lower()}{reason[1:]}; {intact}. "
        "Make room or give back the folder, and go on with `--resume`."
    )


def remove_checkpoint(path: Path) -> None:
    """Remove a file or folder, if it can be.

    Args:
        path: The checkpoint.
    """
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError:  # the folder is gone, or cannot be written to
        return
