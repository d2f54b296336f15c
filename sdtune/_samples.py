"""What the samples of a batch are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from torch import Tensor

__all__ = ["checked_batch", "sample_names", "whole_numbers"]

Batch = TypeVar("Batch", bound=Mapping[str, Any])


def checked_batch(batch: Batch) -> Batch:
    """Check that a batch holds what a step reads, for a loader may be anybody's.

    Args:
        batch: As a training step gets it.

    Returns:
        The same batch.

    Raises:
        ValueError: If an entry is missing.
    """
    held = batch.keys() if isinstance(batch, Mapping) else ()
    if "index" in held and "caption" in held and ("pixel_values" in held or "moments" in held):
        return batch
    told = ", ".join(f"`{each}`" for each in held) if held else f"a {type(batch).__name__}"
    raise ValueError(
        "Expected a batch to be a dict with `pixel_values` (B, 3, H, W) in [-1, 1], `caption` (B "
        "texts) and `index` (B whole numbers that tell pictures apart, such as their places in the "
        f"data set), but the loader gives {told}: let its data set return a dict with these."
    )


def whole_numbers(indices: Iterable[Any]) -> list[int]:
    """List indices, which an ordinary DataLoader makes a tensor of, as numbers.

    Args:
        indices: Whole numbers, or a tensor of them.
    """
    return indices.tolist() if isinstance(indices, Tensor) else [int(each) for each in indices]


def sample_names(batch: Mapping[str, Any]) -> list[str]:
    """List what a batch's samples are called: their `name`, or else their `index`.

    Args:
        batch: As a training step gets it.
    """
    return list(batch["name"]) if "name" in batch else [*map(str, whole_numbers(batch["index"]))]
