"""The memory that tensors take."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

__all__ = ["bytes_of"]


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Sum numel x itemsize of tensors, each counted once.

    Args:
        tensors: On any device, with values or without.
    """
    distinct = {id(each): each for each in tensors}
    return sum(each.numel() * each.element_size() for each in distinct.values())
