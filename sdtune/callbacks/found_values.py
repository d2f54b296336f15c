"""What a finder of Lightning's has found stays, when the run that it began is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder
from lightning.pytorch.utilities.parsing import lightning_setattr
from lightning.pytorch.utilities.rank_zero import rank_zero_info

__all__ = ["found_names", "is_finder", "keep_found"]

_PARTS = ("hyper_parameters", "datamodule_hyper_parameters")


def is_finder(callback: object) -> bool:
    """Tell whether a callback acts before the first step alone, and looks for a value.

    Args:
        callback: A callback. A class made of a finder may act at other times too.
    """
    return type(callback) in (BatchSizeFinder, LearningRateFinder)


def found_names(trainer: Trainer) -> set[str]:
    """Name the arguments that finders set.

    Args:
        trainer: The trainer.
    """
    return {name for each in _finders(trainer) for name in _names(each)}


def keep_found(trainer: Trainer, module: LightningModule, checkpoint: Mapping[str, Any]) -> None:
    """Take what was found from a checkpoint, and let no finder look again.

    From other weights it would find something else, and the run go on otherwise than it was.

    Args:
        trainer: The trainer, when it loads the checkpoint.
        module: What trains.
        checkpoint: What is loaded.
    """
    finders = [*_finders(trainer)]
    if not finders:
        return
    before = {name: value for part in _PARTS for name, value in checkpoint.get(part, {}).items()}
    kept = {name: before[name] for name in sorted(found_names(trainer)) if name in before}
    for name, value in kept.items():
        lightning_setattr(module, name, value)
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    # another list, for Lightning goes through this one
    trainer.callbacks = [each for each in callbacks if each not in finders]  # type: ignore[attr-defined]
    listed = ", ".join(f"`{name}` {value}" for name, value in kept.items())
    rank_zero_info(f"The run goes on with {listed or 'what it had'}: no finder looks again.")


def _finders(trainer: Trainer) -> Iterator[Any]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return filter(is_finder, callbacks)


def _names(finder: Any) -> tuple[str, ...]:
    if isinstance(finder, BatchSizeFinder):
        return (finder._batch_arg_name,)
    return (finder._attr_name,) if finder._attr_name else ("learning_rate", "lr")
