"""Settings under which a run takes less memory, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["memory_advice", "smaller_settings"]

_SMALL_STATES = {"adamw": "adamw8bit", "lion": "lion8bit"}


def smaller_settings(recipe: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """List settings that take less memory, those that cost least first.

    None of them changes what is trained, beyond rounding: a smaller batch is accumulated to the
    same one.

    Args:
        recipe: Values by key, such as `trainer.precision`; what it lacks is not proposed.

    Yields:
        Keys and values that are set together.
    """
    if str(recipe.get("trainer.precision")) in ("32", "32-true", "None"):
        yield {"trainer.precision": "bf16-mixed"}
    if recipe.get("model.gradient_checkpointing") is False:
        yield {"model.gradient_checkpointing": True}
    if recipe.get("model.optimizer") in _SMALL_STATES:
        yield {"model.optimizer": _SMALL_STATES[recipe["model.optimizer"]]}
    size = int(recipe.get("data.batch_size") or 1)
    together = size * int(recipe.get("trainer.accumulate_grad_batches") or 1)
    while size > 1:
        size = next(each for each in range(size // 2, 0, -1) if together % each == 0)
        yield {"data.batch_size": size, "trainer.accumulate_grad_batches": together // size}


def memory_advice(recipe: Mapping[str, Any]) -> str:
    """Word what to do when memory is used up.

    Args:
        recipe: As for `smaller_settings`.

    Returns:
        A sentence, or more.
    """
    words = [
        " ".join(f"--{key} {str(value).lower()}" for key, value in each.items())
        for each in smaller_settings(recipe)
    ]
    if not words:
        return "Nothing in the recipe is left to make it smaller but `data.resolution`."
    return f"These make it smaller, the cheapest first: {'; '.join(words)}."
