"""Settings under which a run takes less memory, the cheapest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["memory_advice", "smaller_settings", "words_of"]

_SMALL_STATES = {"adamw": "adamw8bit", "lion": "lion8bit"}
_FEWER_BITS: Mapping[str | None, Sequence[str]] = {None: ("int8", "nf4"), "int8": ("nf4",)}


def smaller_settings(recipe: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """List settings that take less memory, those that cost least first.

    None but the last changes what is trained, beyond rounding of what is computed: a smaller batch
    is accumulated to the same one. The last rounds the base's weights, to 8 bits and then to 4.

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
    if recipe.get("model.cuda_graphs") is True:
        yield {"model.cuda_graphs": False}
    kept = recipe.get("model.quantization", "")
    if not recipe.get("model.full_finetune"):
        yield from ({"model.quantization": each} for each in _FEWER_BITS.get(kept, ()))


def memory_advice(recipe: Mapping[str, Any]) -> str:
    """Word what to do when memory is used up.

    Args:
        recipe: As for `smaller_settings`.

    Returns:
        A sentence, or more.
    """
    words = [words_of(each) for each in smaller_settings(recipe)]
    if not words:
        return "Nothing in the recipe is left to make it smaller but `data.resolution`."
    return f"These make it smaller, the cheapest first: {'; '.join(words)}."


def words_of(change: Mapping[str, Any]) -> str:
    """Write settings as one types them, and what they change of what is trained.

    Args:
        change: One of `smaller_settings`.

    Returns:
        Such as `--data.batch_size 1 --trainer.accumulate_grad_batches 6`.
    """
    words = " ".join(f"--{key} {str(value).lower()}" for key, value in change.items())
    return f"{words} (which rounds the base's weights)" if "model.quantization" in change else words
