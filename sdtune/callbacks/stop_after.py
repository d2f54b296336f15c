"""An end before the recipe's own, which leaves the schedules as they are."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

__all__ = ["StopAfter"]


class StopAfter(Callback):
    """Stop after so many optimizer steps, of a run whose schedules may be of more.

    Args:
        steps: Optimizer steps.
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Ask the Trainer to stop."""
        if trainer.global_step >= self.steps:
            trainer.should_stop = True
