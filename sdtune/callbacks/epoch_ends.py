"""Where a step stands in its epoch, and whether callbacks do something to weights at its end."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import WeightAveraging

__all__ = ["averages_weights", "end_as_others", "ends_epoch", "ends_within_epoch", "is_last_epoch"]


def averages_weights(trainer: Trainer) -> bool:
    """Tell whether a callback averages the weights, which it may do at the end of an epoch too.

    Args:
        trainer: The trainer.
    """
    return any(isinstance(each, WeightAveraging) for each in trainer.callbacks)  # type: ignore[attr-defined]


def end_as_others(trainer: Trainer) -> None:
    """Let `ReduceLROnPlateau` look at the end of an epoch that was resumed inside, as at others.

    Lightning leaves that out, for the quantity may be of before: then it is still left out.

    Args:
        trainer: The trainer, before anything else of the epoch's end is done.
    """
    watched = {each.monitor for each in trainer.lr_scheduler_configs} - {None}
    if watched <= trainer.callback_metrics.keys():
        trainer.fit_loop._restarting = False  # the public setter sets it anew if steps are counted


def ends_epoch(trainer: Trainer) -> bool:
    """Tell at the end of a batch whether it is the last one of its epoch.

    Args:
        trainer: The trainer.
    """
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def ends_within_epoch(trainer: Trainer) -> bool:
    """Tell at the end of a batch whether training ends with it, and more of its epoch is left.

    Lightning ends the epoch all the same, for all callbacks.

    Args:
        trainer: The trainer.
    """
    is_stopped = trainer.should_stop and trainer.fit_loop._can_stop_early
    return not ends_epoch(trainer) and (is_stopped or 0 <= trainer.max_steps <= trainer.global_step)


def is_last_epoch(trainer: Trainer) -> bool:
    """Tell at the end of an epoch whether training ends with it.

    Args:
        trainer: The trainer.
    """
    steps, epochs = trainer.max_steps, trainer.max_epochs
    return (
        trainer.should_stop
        or 0 <= steps <= trainer.global_step
        or (epochs is not None and 0 <= epochs <= trainer.current_epoch + 1)
    )
