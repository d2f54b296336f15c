"""Whether autocast is on for a device, in words that every torch which is admitted compiles."""

from __future__ import annotations

import torch

__all__ = ["is_autocast_on"]


def is_autocast_on(device_type: str) -> bool:
    """Tell whether autocast is on for a kind of device, also within compiled blocks.

    `torch.amp.is_autocast_available`, which would say that the meta device has none, breaks a
    compiled graph off before PyTorch 2.13.

    Args:
        device_type: As in `tensor.device.type`.
    """
    return device_type != "meta" and torch.is_autocast_enabled(device_type)
