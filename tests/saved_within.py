"""A checkpoint of a run that goes on: what resumes from it is compared with that run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl

__all__ = ["SavedWithin"]


class SavedWithin(pl.Callback):
    """Writes a checkpoint after one step.

    Args:
        path: The file to write.
        step: After which optimizer step.
    """

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Write it, if this was the step."""
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
