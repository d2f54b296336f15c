"""Whether another callback writes files of the names that a run is resumed from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, OnExceptionCheckpoint

from sdtune.run_folder.layout import CHECKPOINT, step_of

__all__ = ["name_problems"]

_MANY = 123456


def name_problems(trainer: Trainer, own: ModelCheckpoint) -> list[str]:
    """List the callbacks that would write over what a run is resumed from.

    Args:
        trainer: The trainer, before or after `setup`.
        own: What writes those files, in its usual folder.

    Returns:
        One sentence each.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    folder = getattr(trainer.logger, "log_dir", None) or trainer.default_root_dir
    home = _folder(own, Path(folder) / CHECKPOINT.parent)
    problems = []
    for other in callbacks:
        if other is own or not isinstance(other, ModelCheckpoint | OnExceptionCheckpoint):
            continue
        for argument, (value, file) in _files(other).items():
            path = _folder(other, home) / file
            if path.parent == home and _is_ours(path):
                problems.append(
                    f"Expected {type(own).__name__} alone to write files such as {path}, but "
                    f"{type(other).__name__} with `{argument}={value}` does too: give that a "
                    f"`dirpath` of its own, or change `{argument}`."
                )
    return problems


def _folder(checkpoint: ModelCheckpoint | OnExceptionCheckpoint, usual: Path) -> Path:
    """Find where a callback writes: before `setup` it knows that only if it was told."""
    return usual.resolve() if checkpoint.dirpath is None else Path(checkpoint.dirpath).resolve()


def _files(other: ModelCheckpoint | OnExceptionCheckpoint) -> dict[str, tuple[Any, str]]:
    """Name a file that each of a callback's arguments leads to: argument -> value, file."""
    if isinstance(other, OnExceptionCheckpoint):  # and deletes that file when all goes well
        return {"filename": (other.filename, other.filename + other.FILE_EXTENSION)}
    names: dict[str, tuple[Any, str | None]] = {}
    if other.save_top_k:
        names["filename"] = other.filename, other.filename
    if other.save_last:
        names["save_last"] = other.save_last, other.CHECKPOINT_NAME_LAST
    folder = other.dirpath or "."
    return {
        argument: (value, os.path.relpath(_formatted(other, name), folder))
        for argument, (value, name) in names.items()
    }


def _formatted(other: ModelCheckpoint, name: str | None) -> str:
    sample = {"epoch": torch.tensor(_MANY), "step": torch.tensor(_MANY)}
    return other.format_checkpoint_name(sample, name)


def _is_ours(path: Path) -> bool:
    is_known = path.stem == CHECKPOINT.stem or step_of(path.stem) is not None
    return path.suffix == CHECKPOINT.suffix and is_known
