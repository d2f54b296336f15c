"""Options of the Trainer that only the data can tell to be impossible."""

import math
from typing import Any

from lightning.pytorch import LightningDataModule, Trainer

__all__ = ["interval_problems"]


def interval_problems(trainer: Trainer, data: LightningDataModule) -> list[str]:
    """Say that a Trainer would validate later than its epochs end, which Lightning refuses.

    Args:
        trainer: The Trainer.
        data: What it trains on; it is set up and its batches are counted, if that matters.

    Returns:
        A sentence, or nothing if all is well.
    """
    interval: Any = getattr(trainer, "val_check_interval", None)  # none if it is a time
    asked = isinstance(interval, int) and not isinstance(interval, bool)
    if not asked or trainer.check_val_every_n_epoch is None or not trainer.limit_val_batches:
        return []
    data.setup("fit")
    try:
        batches = len(data.train_dataloader())
    except TypeError:  # a stream, whose end nobody knows
        return []
    batches = math.ceil(batches / trainer.world_size)
    limit = trainer.limit_train_batches
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    if interval <= batches:
        return []
    return [
        f"Expected `trainer.val_check_interval` to be at most the {batches} batches of an epoch, "
        f"but got {interval}: give fewer, or `trainer.check_val_every_n_epoch` as null to count on "
        "over epochs."
    ]
