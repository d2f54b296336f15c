"""One checkpoint to resume from, which a crash cannot spoil."""

from __future__ import annotations

import shutil
import warnings

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, WeightAveraging

from sdtune.callbacks.periodic import begins_to_write
from sdtune.evaluation.technique import WatchesNumbers
from sdtune.files.atomic_file import sync_and_replace, temporary_sibling
from sdtune.run_folder.fresh_folder import refuse_used_folder

__all__ = ["ResumeCheckpoint"]


class ResumeCheckpoint(ModelCheckpoint):
    """Keep `checkpoints/last.ckpt` in the run folder, written every n steps and at the end.

    Lightning writes to the system's temporary folder and moves the file, which is a copy where
    that is another disk, and does not wait for the disk. Here the file is written beside the old
    one, flushed, and renamed over it.

    Args:
        every_n_steps: Optimizer steps between two checkpoints. None for once an epoch.

    Raises:
        ValueError: If `every_n_steps` is not positive.
    """

    def __init__(self, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(
                "Expected `every_n_steps` to be a positive integer or None, but got "
                f"{every_n_steps}."
            )
        super().__init__(
            filename=self.CHECKPOINT_NAME_LAST,
            save_top_k=1,
            every_n_train_steps=every_n_steps,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find the folder."""
        with warnings.catch_warnings():  # a resumed run's folder is not empty, and no other may be
            warnings.filterwarnings("ignore", message="Checkpoint directory .* is not empty")
            super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse to write over another run's checkpoint."""
        super().on_train_start(trainer, pl_module)
        if not self._last_checkpoint_saved and begins_to_write(trainer):
            refuse_used_folder(str(self.dirpath))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last step before a callback that averages the weights overwrites them."""
        super().on_train_epoch_end(trainer, pl_module)
        averages = any(isinstance(each, WeightAveraging) for each in trainer.callbacks)  # type: ignore[attr-defined]
        if averages and _is_last_epoch(trainer):
            self._save_unless_saved(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the last step too."""
        self._save_unless_saved(trainer)

    def _save_unless_saved(self, trainer: Trainer) -> None:
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_topk_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        if isinstance(trainer.lightning_module, WatchesNumbers):
            trainer.lightning_module.check_numbers()  # before it is copied: it may go back
        temporary = temporary_sibling(filepath)
        # whatever the strategy does to write it; all ranks take part and wait for each other
        super()._save_checkpoint(trainer, str(temporary))
        if trainer.is_global_zero:
            if temporary.is_dir():  # a sharded checkpoint: no folder can be renamed over another
                shutil.rmtree(filepath, ignore_errors=True)
            sync_and_replace(temporary, filepath)
        trainer.strategy.barrier()
        self._last_checkpoint_saved = filepath


def _is_last_epoch(trainer: Trainer) -> bool:
    """Tell at the end of an epoch whether training ends with it."""
    steps, epochs = trainer.max_steps, trainer.max_epochs
    return (
        trainer.should_stop
        or 0 <= steps <= trainer.global_step
        or (epochs is not None and 0 <= epochs <= trainer.current_epoch + 1)
    )
