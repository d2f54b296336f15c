"""Who looks at a model or saves it needs all of it in one process."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy

__all__ = ["refuse_sharded_model", "sharding_problems", "splits_model"]


def splits_model(trainer: Trainer) -> bool:
    """Tell whether each process holds a part of the model alone.

    Args:
        trainer: The trainer.

    Returns:
        Whether its strategy splits the model up.
    """
    return isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy)


def sharding_problems(trainer: Trainer, name: str) -> list[str]:
    """Say what is wrong with a strategy that splits the model up: the first process would wait.

    Args:
        trainer: The trainer.
        name: The callback that needs the whole model.

    Returns:
        A sentence, or nothing if all is well.
    """
    if not splits_model(trainer):
        return []
    return [
        f"Expected `trainer.strategy` to keep the whole model in every process, which {name} "
        f"needs, but got {type(trainer.strategy).__name__}: take `ddp`, or take {name} out of "
        "`trainer.callbacks`."
    ]


def refuse_sharded_model(trainer: Trainer, name: str) -> None:
    """Raise if each process holds a part of the model alone.

    Args:
        trainer: The trainer.
        name: The callback that needs the whole model.

    Raises:
        ValueError: If the trainer's strategy splits the model up.
    """
    for problem in sharding_problems(trainer, name):
        raise ValueError(problem)
