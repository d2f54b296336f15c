"""Checkpoints of this machine alone: one from the web, Lightning would unpickle whole."""

from __future__ import annotations

import os
import re
from typing import Any
from zipfile import is_zipfile

import lightning.pytorch as pl
from lightning.pytorch.plugins.io.wrapper import _WrappingCheckpointIO
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

__all__ = ["keep_to_this_machine", "remote_checkpoint_problem"]

_ADDRESS = re.compile(r"http|[A-Za-z][A-Za-z0-9+.-]+:(?://|:)")


def remote_checkpoint_problem(path: object) -> str | None:
    """Refuse a checkpoint that is not on a disk of this machine.

    Args:
        path: What is given as a checkpoint.

    Returns:
        A sentence; None if it is no address.
    """
    if not _ADDRESS.match(str(path)):
        return None
    return (
        f"Expected a checkpoint on this machine, but got `{path}`, which could run code: download "
        "it, and give the file."
    )


def keep_to_this_machine(trainer: pl.Trainer) -> None:
    """Let a Trainer read no checkpoint from elsewhere.

    Args:
        trainer: The Trainer, before it has read one.
    """
    strategy = trainer.strategy
    if not isinstance(strategy, DDPStrategy | SingleDeviceStrategy):
        return  # others read files of their own, through PyTorch's own readers
    if not isinstance(strategy.checkpoint_io, _LocalCheckpointIO):
        strategy.checkpoint_io = _LocalCheckpointIO(strategy.checkpoint_io)


class _LocalCheckpointIO(_WrappingCheckpointIO):
    """Reads and writes as the one that it is given, but nothing from the web."""

    def load_checkpoint(self, path: Any, *arguments: Any, **options: Any) -> dict[str, Any]:
        problem = remote_checkpoint_problem(path)
        if problem:
            raise ValueError(problem)
        try:
            loaded: dict[str, Any] = super().load_checkpoint(path, *arguments, **options)
        except (EOFError, RuntimeError) as error:
            if os.path.isfile(path) and not is_zipfile(path):  # its end is lost
                raise ValueError(
                    f"Expected {path} to be a checkpoint, but it is cut off. Take the one before: "
                    "`--resume` with the run's folder does."
                ) from error
            raise
        return loaded

    def teardown(self) -> None:
        if self.checkpoint_io is not None:
            self.checkpoint_io.teardown()  # which may wait for what it writes
