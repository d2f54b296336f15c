"""Who looks at a model or saves it needs all of it in one process."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

__all__ = ["refuse_sharded_model"]


def refuse_sharded_model(trainer: Trainer, name: str) -> None:
    """Raise if each process holds a part of the model alone: the first one would wait forever.

    Args:
        trainer: The trainer.
        name: The callback that needs the whole model.

    Raises:
        ValueError: If the trainer's strategy splits the model up.
    """
    if isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy):
        raise ValueError(
            f"Expected `trainer.strategy` to keep the whole model in every process, which {name} "
            f"needs, but got {type(trainer.strategy).__name__}: take `ddp`, or take {name} out of "
            "`trainer.callbacks`."
        )
