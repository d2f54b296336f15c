"""When to look at a run: every so many optimizer steps, or whenever the trainer validates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from sdtune._checks import check_positive
from sdtune.callbacks.fresh_folder import refuse_used_folder
from sdtune.callbacks.protocol import Technique, as_technique

__all__ = ["PeriodicCallback", "is_trial"]


def is_trial(trainer: Trainer) -> bool:
    """Tell whether this is a `fast_dev_run`, which shall leave no files.

    Args:
        trainer: The trainer.

    Returns:
        Whether `fast_dev_run` is set.
    """
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


class PeriodicCallback(Callback):
    """Call `at_step` at regular optimizer steps and once more when training ends.

    A step is visited once, however many batches are accumulated in it and whatever triggers
    fall on it. Nothing happens in a `fast_dev_run`, as with Lightning's checkpoints.

    A subclass names its folder inside the run folder, which must be empty when a run begins.

    Args:
        every_n_steps: Optimizer steps between two visits. None for after each validation, or
            each epoch if there is no validation.

    Raises:
        ValueError: If `every_n_steps` is not positive.
    """

    folder_name: ClassVar[str]

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__()
        check_positive("every_n_steps", every_n_steps, of="integer or None")
        self.every_n_steps = every_n_steps
        self.folder = Path(self.folder_name)
        self._last_step: int | None = None

    def at_step(self, trainer: Trainer, technique: Technique, step: int) -> None:
        """Do what the callback is for. Called on every rank.

        Args:
            trainer: The trainer.
            technique: The module in training.
            step: Optimizer steps taken so far.
        """
        raise NotImplementedError

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the module and learn the run folder."""
        as_technique(pl_module)
        # a collective call, so it is made here, where all ranks are
        self.folder = Path(trainer.log_dir or trainer.default_root_dir) / self.folder_name

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the step that training starts or resumes from as visited."""
        if self._last_step is None and not is_trial(trainer):
            refuse_used_folder(trainer, self.folder)
        self._last_step = trainer.global_step
        if self.every_n_steps is None and trainer.val_dataloaders is None:
            # as the trainer does it: only then is it known whether there is anything to validate
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.setup_data()
            trainer.training = True

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Visit every n-th step."""
        if self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0:
            self._visit(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Visit each validation, if no interval is given."""
        if self.every_n_steps is None and not trainer.sanity_checking:
            self._visit(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Visit each epoch, if no interval is given and nothing is validated."""
        is_validated = trainer.enable_validation and sum(trainer.num_val_batches) > 0
        if self.every_n_steps is None and not is_validated:
            self._visit(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Visit the last step."""
        self._visit(trainer, pl_module)

    def _visit(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step
        if step == self._last_step or trainer.state.fn != TrainerFn.FITTING:
            return
        self._last_step = step
        if not is_trial(trainer):
            self.at_step(trainer, as_technique(pl_module), step)
