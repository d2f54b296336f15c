"""What the end of a step has told, which Lightning's checkpoints do not hold."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ProgressBar, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.utilities.rank_zero import rank_zero_info

__all__ = ["STEP_END", "give_back_metrics", "stay_ended", "step_end", "told_by"]

STEP_END = "step_end"
"""The key in a checkpoint: plain values, so that it is loaded without pickle."""

_METRICS, _ENDED = "metrics", "ended"
_PLAIN = bool | int | float | str


def step_end(trainer: Trainer) -> dict[str, Any]:
    """Collect what callbacks and schedules may monitor, and who has ended training, if it has.

    Args:
        trainer: The trainer. Called on every rank, for a metric may be gathered from all.
    """
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    ends = trainer.should_stop and trainer.fit_loop._can_stop_early
    return {_METRICS: metrics, _ENDED: _end(trainer) if ends else {}}


def told_by(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Take what `step_end` returned from a checkpoint; empty if an older sdtune wrote that."""
    told = checkpoint.get(STEP_END)
    return told if isinstance(told, dict) else {}


def give_back_metrics(trainer: Trainer, told: Mapping[str, Any]) -> None:
    """Let a resumed run's callbacks and schedules monitor what was there to be monitored.

    Args:
        trainer: The trainer, when its first step begins: Lightning empties them until then.
        told: What `step_end` returned.
    """
    device = trainer.strategy.root_device
    for name, value in told.get(_METRICS, {}).items():
        trainer.callback_metrics[name] = torch.tensor(value, device=device)


def stay_ended(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Train no more where a run is resumed that a callback has ended, if that still would.

    One that has got other arguments, or steps, trains on.

    Args:
        trainer: The trainer, when it loads the checkpoint, before callbacks get their states.
        checkpoint: What is loaded.
    """
    before = told_by(checkpoint).get(_ENDED)
    if not before:
        return
    names = before["callbacks"]
    now = {name: each for name, each in _arguments(trainer).items() if name in names}
    if _limits(trainer) == before["limits"] and now == names:
        trainer.should_stop = True
        rank_zero_info(
            f"The run had ended at step {checkpoint['global_step']} by {before['by']}: it is not "
            "trained on. Change the arguments of that, or `max_steps` or `max_epochs`, to go on."
        )
        return
    for each in _callbacks(trainer):
        state = checkpoint.get("callbacks", {}).get(each.state_key)
        if isinstance(each, EarlyStopping) and isinstance(state, dict):
            state["patience"] = each.patience  # Lightning takes that of the checkpoint


def _end(trainer: Trainer) -> dict[str, Any]:
    """Describe an end; empty if a clock has brought it about, which a resumed run asks anew."""
    callbacks = _callbacks(trainer)
    if any(isinstance(each, Timer) and _is_over(each) for each in callbacks):
        return {}
    known = [each for each in callbacks if isinstance(each, EarlyStopping) and _has_stopped(each)]
    listed = " and ".join(f"EarlyStopping on {each.monitor}" for each in known)
    names = {each.state_key for each in known or callbacks}
    arguments = {name: each for name, each in _arguments(trainer).items() if name in names}
    by = listed or "`trainer.should_stop`, which a callback or the module has set"
    return {"by": by, "limits": _limits(trainer), "callbacks": arguments}


def _limits(trainer: Trainer) -> list[int | None]:
    return [trainer.max_steps, trainer.max_epochs]


def _callbacks(trainer: Trainer) -> list[Any]:
    """List the callbacks that may end training."""
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    never = Checkpoint | ProgressBar
    public = (each for each in callbacks if not type(each).__name__.startswith("_"))
    return [each for each in public if not isinstance(each, never)]


def _arguments(trainer: Trainer) -> dict[str, dict[str, Any]]:
    """Give the plain arguments of callbacks, as far as they keep them: key -> name -> value."""
    found = {}
    for each in _callbacks(trainer):
        kept, names = vars(each), signature(type(each)).parameters
        values = {name: kept.get(name, kept.get(f"_{name}")) for name in names}
        plain = {name: value for name, value in values.items() if isinstance(value, _PLAIN)}
        found[each.state_key] = plain
    return found


def _is_over(timer: Timer) -> bool:
    left = timer.time_remaining()
    return left is not None and left <= 0


def _has_stopped(early: EarlyStopping) -> bool:
    return early.stopping_reason is not EarlyStoppingReason.NOT_STOPPED
