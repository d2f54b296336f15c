"""When a checkpoint that is written gets its name: before anything of the next step is logged."""

from __future__ import annotations

from typing import Any, Protocol

from lightning.pytorch import Callback, LightningModule, Trainer

from sdtune.callbacks.epoch_ends import end_as_others, ends_epoch
from sdtune.callbacks.periodic import is_trial
from sdtune.callbacks.step_end import give_back_metrics

__all__ = ["publish_before_others"]


class _Writer(Protocol):
    """What writes a checkpoint, as `ResumeCheckpoint` does.

    Attributes:
        told: What `step_end` has put into the checkpoint that the run goes on from.
    """

    told: dict[str, Any]

    def publish_pending(self, trainer: Trainer) -> None: ...

    def renew_states(self, trainer: Trainer) -> None: ...

    def stop_before_steps(self, trainer: Trainer) -> None: ...

    def stop_if_asked(self, trainer: Trainer) -> None: ...


def publish_before_others(trainer: Trainer, checkpoint: _Writer) -> None:
    """Let a checkpoint be named before all other callbacks, which log something of the next step.

    Args:
        trainer: The trainer, in `setup`.
        checkpoint: What writes it.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    if not any(isinstance(each, _Publisher) for each in callbacks):
        trainer.callbacks = [_Publisher(checkpoint), *callbacks]  # type: ignore[attr-defined]


class _Publisher(Callback):
    """Names a checkpoint when its step is over, before anything of the next one is logged.

    Args:
        checkpoint: What writes it.
    """

    def __init__(self, checkpoint: _Writer) -> None:
        self.checkpoint = checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop if that was asked for while all was prepared, before the others look at it."""
        give_back_metrics(trainer, self.checkpoint.told)
        if not is_trial(trainer):
            self.checkpoint.stop_before_steps(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Name the last one of the epoch before."""
        self.checkpoint.publish_pending(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Where training ends inside an epoch, a longer run looks at nothing more of that step."""
        end_as_others(trainer)
        if not ends_epoch(trainer):
            self.checkpoint.renew_states(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Name the one of the step before, and stop if that is asked for."""
        self.checkpoint.publish_pending(trainer)
        self.checkpoint.stop_if_asked(trainer)
