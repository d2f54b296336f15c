"""What differs between the recipe of a checkpoint and the one that it is resumed with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Change", "RecipeChangedError", "recipe_changes", "refusals"]

_FREE = {
    "model.base": "its weights are compared by their hashes",
    "model.cuda_graphs": "a recorded step is the same step",
    "model.compile": "weights and optimizer are as they were",
    "model.gradient_checkpointing": "it trades memory for time",
    "model.roll_backs": "it counts when numbers are lost",
    "data.cache_latents": "latents are the same, kept or not",
    "trainer.callbacks": "they look on",
    "trainer.devices": "the data says if it cannot go on",
    "trainer.max_epochs": "the run is longer or shorter",
    "trainer.max_steps": "the run is longer or shorter",
    "trainer.precision": "weights and optimizer are kept in float32",
}
"""Keys that may change, and why."""

_RATE = "learning_rate"
_RATES = (_RATE, "lr_schedule", "warmup_steps")
"""Ends of keys that may change where a schedule sets the rates anew at every step."""

_SHARED_OUT = ("data.batch_size", "trainer.devices")
"""Keys that may change together, if their product does not."""

_PATHS = ("data.folder", "data.instance_dir", "data.class_dir")

_REASONS = {
    "model": "its weights are another technique's",
    "model.alpha": "it scales what has been learned",
    "model.optimizer": "its state means something else to another",
    "model.seed": "the noise of the steps before was drawn with it",
    "model.weight_decay": "the optimizer's state holds it",
    "data.batch_size": "the place in the epoch is counted in batches",
    "data.pictures": "pictures or captions were added, edited or taken away since then",
    "data.seed": "the order of the epoch was drawn with it",
    "trainer.accumulate_grad_batches": "steps are counted in so many batches",
    "trainer.accumulation_schedule": "steps are counted in so many batches",
    "trainer.averages": "an average cannot begin, change or end within a run",
}
_DEFAULT_REASONS = {
    "model": "what has been learned was learned with it",
    "data": "the run would go on with other data than it began with",
    "trainer": "the steps before were taken with it",
}
_NO_RATE_REASON = "without a rate nothing learns, and what learns cannot begin or end within a run"
_RATE_REASON = "this optimizer's state holds its rates"


@dataclass(frozen=True)
class Change:
    """A difference.

    Attributes:
        key: As one types it, such as `model.rank`.
        before: The checkpoint's value.
        now: The recipe's.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"`{self.key}` {_shown(self.before)} -> {_shown(self.now)}"


class RecipeChangedError(ValueError):
    """A run cannot go on with another recipe.

    Args:
        problems: What differs and cannot change, one sentence each.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


def recipe_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[Change]:
    """List what differs.

    Args:
        before: The checkpoint's recipe, key -> value. What only one of both has is left out.
        now: The recipe to resume with.

    Returns:
        The differences, by their keys.
    """
    shared = sorted(before.keys() & now.keys())
    pairs = [Change(key, _plain(before[key]), _plain(now[key])) for key in shared]
    return [each for each in pairs if not _is_same(each)]


def refusals(changes: Sequence[Change], step: int, rates_follow: bool) -> list[str]:
    """Say what cannot change.

    Args:
        changes: The differences.
        step: Optimizer steps of the checkpoint.
        rates_follow: Whether learning rates are set anew at every step.

    Returns:
        A sentence for each; empty if the run can go on.
    """
    problems: list[str] = []
    free = {*_FREE, *(_SHARED_OUT if _shows_as_many(changes) else ())}
    for each in changes:
        is_rate, learns_both = each.key.endswith(_RATES), _learns_both(each)
        if each.key in free or (is_rate and rates_follow and learns_both):
            continue
        part = each.key.partition(".")[0]
        reason = _REASONS.get(each.key, _DEFAULT_REASONS[part])
        if is_rate:
            reason = _RATE_REASON if learns_both else _NO_RATE_REASON
        problems.append(
            f"Expected `{each.key}` to stay {_shown(each.before)} after step {step}, but got "
            f"{_shown(each.now)}: {reason}. Give it back, or start a new run."
        )
    return problems


def _learns_both(change: Change) -> bool:
    """Tell whether what a rate is of, if it is one, learns before and after."""
    values = (change.before, change.now)
    return not change.key.endswith(_RATE) or all(isinstance(each, int | float) for each in values)


def _shows_as_many(changes: Sequence[Change]) -> bool:
    """Tell whether a step's pictures are as many, shared out over other processes."""
    values = {each.key: (each.before, each.now) for each in changes}
    sizes, devices = (values.get(key, (None, None)) for key in _SHARED_OUT)
    if not all(isinstance(each, int) for each in (*sizes, *devices)):
        return False
    return bool(sizes[0] * devices[0] == sizes[1] * devices[1])


def _plain(value: Any) -> Any:
    """Put a value in the form that a checkpoint and a file give it back in."""
    return json.loads(json.dumps(value, default=str))


def _is_same(change: Change) -> bool:
    before, now = change.before, change.now
    if change.key in _PATHS and isinstance(before, str) and isinstance(now, str):
        return Path(before).resolve() == Path(now).resolve()
    return bool(before == now)


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return f"`{value if isinstance(value, str) else text}`"
