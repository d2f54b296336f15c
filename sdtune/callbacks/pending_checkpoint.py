"""A checkpoint that is written and has no name yet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from sdtune.callbacks.late_states import LateStates
from sdtune.run_folder.checkpoints import Kept, publish
from sdtune.run_folder.event_files import event_lengths
from sdtune.run_folder.slurm_job import job_of_call

__all__ = ["PendingCheckpoint", "moment_of", "remove_checkpoint", "unwritten"]


@dataclass(frozen=True)
class PendingCheckpoint:
    """A checkpoint that is written and has no name yet.

    Attributes:
        temporary: The file.
        path: The name that it shall have.
        step: Optimizer steps.
        moment: What `moment_of` returned when it was written.
        states: What it holds of what may move on until it gets its name; None if no more of that
            counts.
    """

    temporary: Path
    path: Path
    step: int
    moment: tuple[int, int]
    states: LateStates | None = None

    def renewed(self, trainer: Trainer, writer: Callback) -> PendingCheckpoint:
        """Put into the file what callbacks and schedulers have learned since it was written.

        Called on every rank. Nothing that is learned after this counts. Of what a strategy writes
        in pieces all stays as it was.

        Args:
            trainer: The trainer.
            writer: What has written it, whose own state stays.

        Returns:
            The same checkpoint.

        Raises:
            OSError: If the disk is full, or the folder cannot be written to any more.
        """
        if self.states is None:
            return self
        states = LateStates.now(trainer, writer)
        is_file = trainer.is_global_zero and self.temporary.is_file()
        if is_file and not states.equals(self.states):
            try:
                states.write(trainer, self.temporary)
            except OSError as error:
                remove_checkpoint(self.temporary)
                raise unwritten(self.path, self.step, error) from error
        return replace(self, states=None)

    def publish(
        self, trainer: Trainer, run: Path, kept: Sequence[Kept], keep_last: int
    ) -> list[Kept]:
        """Give it its name, when the curves are on the disk.

        Args:
            trainer: The trainer.
            run: The run's folder.
            kept: The checkpoints that the run has, the newest first.
            keep_last: How many of them stay.

        Returns:
            What there is now.

        Raises:
            OSError: If the disk is full, or the folder cannot be written to any more.
        """
        try:
            for logger in trainer.loggers:
                logger.save()
            return publish(
                self.temporary,
                self.path,
                kept,
                step=self.step,
                events=event_lengths(run),
                keep_last=keep_last,
                job=job_of_call(),
            )
        except OSError as error:
            remove_checkpoint(self.temporary)
            raise unwritten(self.path, self.step, error) from error


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
