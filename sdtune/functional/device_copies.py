"""Copies from the processor's memory to a device that nothing waits for."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["copied_to"]


def copied_to(
    value: Tensor, device: torch.device | str, dtype: torch.dtype | None = None
) -> Tensor:
    """Copy to a device, without waiting for what the device still has to do.

    A copy back to the CPU is waited for: torch would give memory that the GPU is still to fill.

    A plain `value.to(device)` waits for all of it, and so does every operation of a GPU that is
    given an index on the CPU. Pinned memory is what a GPU reads by itself; torch keeps the memory
    until it has.

    Args:
        value: Any tensor, most likely on the CPU.
        device: Where it goes.
        dtype: A floating type; None leaves it as it is.

    Returns:
        The same values there; the same tensor if it is there already.
    """
    kind = torch.device(device).type
    if kind == "cuda" and value.device.type == "cpu":
        value = value.pin_memory()
    return value.to(device, dtype, non_blocking=kind != "cpu")
