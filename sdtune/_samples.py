"""What the samples of a batch are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["sample_names", "whole_numbers"]


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
