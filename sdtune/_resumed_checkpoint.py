"""Which checkpoint a run goes on from, whatever else Lightning restores on its way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

__all__ = [
    "forget_resumed",
    "given_checkpoint",
    "is_resumed_within",
    "note_resumed",
    "resumed_checkpoint",
]

# `LearningRateFinder` and `BatchSizeFinder`, and their functions of a `Tuner`, go back to what was
# before their trials by a file that is deleted at once. `Trainer.ckpt_path` names it ever after.
_OF_FINDERS = (".lr_find_", ".scale_batch_size_")
_noted: WeakKeyDictionary[Any, Path] = WeakKeyDictionary()
_homes: WeakKeyDictionary[Any, list[Path]] = WeakKeyDictionary()


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


def note_resumed(trainer: Any, checkpoint: Mapping[str, Any]) -> None:
    """Note what is resumed. Called when it is loaded, before a finder goes back to its own file.

    Args:
        trainer: The trainer.
        checkpoint: What is loaded.
    """
    path = given_checkpoint(trainer)
    if path is None:
        return
    _noted[trainer] = path
    states = checkpoint.get("callbacks", {}).values()
    told = (each.get("dirpath") for each in states if isinstance(each, Mapping))
    _homes[trainer] = [path.resolve(), *(Path(each) for each in told if isinstance(each, str))]


def is_resumed_within(trainer: Any, run: Path) -> bool:
    """Tell whether what is resumed is of the run whose folder is written to.

    It lies in that, in whatever place the folder now is, or was written by a callback of it that
    writes elsewhere.

    Args:
        trainer: The trainer, after a checkpoint is loaded.
        run: The folder.
    """
    homes = _homes.get(trainer, []) if resumed_checkpoint(trainer) is not None else []
    return any(each.resolve().is_relative_to(run.resolve()) for each in homes)


def forget_resumed(trainer: Any) -> None:
    """Forget what an earlier fit of a Trainer went on from. Called in `setup`.

    Args:
        trainer: The trainer.
    """
    _noted.pop(trainer, None)
    _homes.pop(trainer, None)
