"""Which checkpoint a run goes on from, whatever else Lightning restores on its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["forget_resumed", "given_checkpoint", "resumed_checkpoint"]

# `LearningRateFinder` and `BatchSizeFinder`, and their functions of a `Tuner`, go back to what was
# before their trials by a file that is deleted at once. `Trainer.ckpt_path` names it ever after.
_OF_FINDERS = (".lr_find_", ".scale_batch_size_")
_noted: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()


def given_checkpoint(trainer: Any) -> Path | None:
    """Tell which checkpoint a Trainer has restored last, those of finders apart.

    Args:
        trainer: The trainer. In `setup`, it knows that of its earlier fit.

    Returns:
        The file or folder; None if there is none.
    """
    path = None if trainer.ckpt_path is None else Path(trainer.ckpt_path)
    return None if path is None or path.name.startswith(_OF_FINDERS) else path


def resumed_checkpoint(trainer: Any) -> Path | None:
    """Tell which checkpoint `fit` was given.

    Asked when that is loaded, it is known from then on, also when a finder has acted.

    Args:
        trainer: The trainer, after `setup`.

    Returns:
        The file or folder; None if nothing is resumed.
    """
    path = given_checkpoint(trainer)
    if path is not None:
        _noted[trainer] = path
    elif trainer.ckpt_path is not None:
        path = _noted.get(trainer)
    return path


def forget_resumed(trainer: Any) -> None:
    """Forget what an earlier fit of a Trainer went on from. Called in `setup`.

    Args:
        trainer: The trainer.
    """
    _noted.pop(trainer, None)
