"""Find the exact place at which a resumed Trainer goes on."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.loops.fit_loop import _FitLoop
from lightning.pytorch.loops.loop import _Loop

from sdtune._run_steps import accumulated_batches

__all__ = ["resume_position"]


def resume_position(trainer: pl.Trainer) -> tuple[int, int]:
    """Find where training goes on, and mend the Trainer's counters where they would lead astray.

    Lightning 2.6 goes on exactly from a checkpoint written at the end of a batch, once. From one
    written when an epoch was done it skips an epoch or, on the next resume, repeats batches; a run
    that `max_steps` stopped inside an epoch counts that epoch as done; a batch that failed is
    counted for good. So the counters are set to what they are in the cases that work.

    Gradients that are being summed up are in no checkpoint: of one that was written between two
    batches of a step, all batches of that step are trained on again.

    Args:
        trainer: A Trainer that has read its checkpoint, if any, and does not train yet.

    Returns:
        The epoch to train on next, and how many of its batches were trained on before.
    """
    loop = trainer.fit_loop
    epochs: Any = loop.epoch_progress.current  # Lightning annotates a base class of what it is
    batches: Any = loop.epoch_loop.batch_progress
    if not loop.is_resuming:
        return epochs.processed, 0
    inside = epochs.started > epochs.processed
    epoch, done = epochs.processed, batches.current.processed
    finished = batches.is_last_batch and batches.current.ready == done
    if not finished and not trainer.strategy.handles_gradient_accumulation:
        summed = done % accumulated_batches(trainer, epoch - (not inside))
        done -= summed
        for progress in (batches.total, batches.current):
            progress.processed -= summed
    if finished and inside and batches.current.completed == done:
        # written when validation ended: Lightning runs what is left of the epoch, its hooks
        return epoch, done
    if finished or done == 0:
        epoch, done = epoch + (finished and inside), 0
        _begin_epoch(loop, epoch)
    else:
        epoch -= not inside
        _reenter_epoch(loop, epoch)
    return epoch, done


def _begin_epoch(loop: _FitLoop, epoch: int) -> None:
    """Count as if `epoch` epochs were done and no other begun."""
    _count(loop.epoch_progress.total, epoch, epoch, epoch)
    _count(loop.epoch_progress.current, epoch, epoch, epoch)
    batches: Any = loop.epoch_loop.batch_progress
    _count(batches.total, *[batches.total.processed] * 3)
    batches.reset_on_run()
    loop.epoch_loop._batches_that_stepped = loop.epoch_loop.global_step
    # the loop's own setter insists on restarting when `max_steps` is given
    _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]


def _reenter_epoch(loop: _FitLoop, epoch: int) -> None:
    """Count as a checkpoint does that is written at the end of a batch, inside an epoch."""
    _count(loop.epoch_progress.total, epoch + 1, epoch, epoch)
    _count(loop.epoch_progress.current, epoch + 1, epoch, epoch)
    batches: Any = loop.epoch_loop.batch_progress
    for progress in (batches.total, batches.current):
        _count(progress, progress.processed, progress.processed, progress.processed - 1)
    batches.is_last_batch = False
    # Lightning adds the last batch itself, unless its gradients are still being accumulated
    pending = not loop.epoch_loop._should_accumulate()
    loop.epoch_loop._batches_that_stepped = loop.epoch_loop.global_step - pending
    loop.restarting = True


def _count(progress: Any, started: int, processed: int, completed: int) -> None:
    progress.ready = progress.started = started
    progress.processed, progress.completed = processed, completed
