"""What callbacks and schedulers learn of a step after its checkpoint is written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer, WeightAveraging

from sdtune.callbacks.step_end import STEP_END, step_end, told_by
from sdtune.files.atomic_file import temporary_sibling

__all__ = ["LateStates"]

_CALLBACKS, _SCHEDULERS, _OPTIMIZERS = "callbacks", "lr_schedulers", "optimizer_states"


@dataclass(frozen=True)
class LateStates:
    """The states that move on between a step and the next one, with its validation.

    A callback that averages belongs to the weights, and a clock moves on by itself.

    Attributes:
        callbacks: Key -> state.
        lr_schedulers: State of each.
        rates: Learning rate of each group of each optimizer, which `ReduceLROnPlateau` sets.
        told: What `step_end` has collected.
    """

    callbacks: dict[str, Any]
    lr_schedulers: list[Any]
    rates: list[list[Any]]
    told: dict[str, Any]

    @classmethod
    def within(cls, checkpoint: Mapping[str, Any], trainer: Trainer, but: object) -> LateStates:
        """Copy them out of what is about to be written.

        Args:
            checkpoint: What Lightning has dumped.
            trainer: The trainer.
            but: A callback whose state does not count.
        """
        keys = [each.state_key for each in _watched(trainer, but)]
        states = checkpoint.get(_CALLBACKS, {})
        return cls(
            deepcopy({key: states[key] for key in keys if key in states}),
            deepcopy(checkpoint.get(_SCHEDULERS, [])),
            [_rates(each) for each in checkpoint.get(_OPTIMIZERS, [])],
            told_by(checkpoint),
        )

    @classmethod
    def now(cls, trainer: Trainer, but: object) -> LateStates:
        """Ask for them. Called on every rank, for a callback may gather its own from all.

        Args:
            trainer: The trainer.
            but: A callback whose state does not count.
        """
        states = {each.state_key: each.state_dict() for each in _watched(trainer, but)}
        return cls(
            {key: state for key, state in states.items() if state},
            [config.scheduler.state_dict() for config in trainer.lr_scheduler_configs],
            [_rates({"param_groups": each.param_groups}) for each in trainer.optimizers],
            step_end(trainer),
        )

    def equals(self, other: LateStates) -> bool:
        """Tell whether nothing has moved on."""
        return all(_are_equal(value, vars(other)[name]) for name, value in vars(self).items())

    def write(self, trainer: Trainer, path: Path) -> None:
        """Put them into a checkpoint in the place of its own, all at once or not at all.

        Args:
            trainer: The trainer.
            path: The file.

        Raises:
            OSError: If the disk is full, or the folder cannot be written to any more.
        """
        files, temporary = trainer.strategy.checkpoint_io, temporary_sibling(path)
        # written a moment ago by this process: what callbacks keep need not be plain values
        content = files.load_checkpoint(path, weights_only=False)
        content.setdefault(_CALLBACKS, {}).update(self.callbacks)
        content[_SCHEDULERS], content[STEP_END] = self.lr_schedulers, self.told
        for state, rates in zip(content.get(_OPTIMIZERS, []), self.rates, strict=True):
            for group, rate in zip(state.get("param_groups", []), rates, strict=True):
                group["lr"] = rate
        try:
            files.save_checkpoint(content, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def _watched(trainer: Trainer, but: object) -> list[Any]:
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    return [
        each
        for each in callbacks
        if each is not but and not isinstance(each, Timer | WeightAveraging)
    ]


def _rates(state: Mapping[str, Any]) -> list[Any]:
    """Copy what may be a tensor that a scheduler changes."""
    return [deepcopy(group.get("lr")) for group in state.get("param_groups", [])]


def _are_equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        are_tensors = isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        return are_tensors and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_are_equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_are_equal, one, other))
    return bool(one == other)
