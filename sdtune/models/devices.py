"""Where models run when they are not trained: by default the GPU if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

__all__ = ["brought_to", "chosen_device"]


def chosen_device(name: str | None = None) -> torch.device:
    """Choose a device.

    Args:
        name: As torch names it, such as `cuda`; None for the GPU if there is one, else the CPU.

    Returns:
        The device.

    Raises:
        ValueError: If torch does not find it here.
    """
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"Expected `device` to be `cpu` or another that torch finds here, but got `{name}`."
        ) from error
    return torch.device(name)


@contextmanager
def brought_to(device: torch.device, *parts: nn.Module) -> Iterator[None]:
    """Bring parts of a model to a device, and back to where they were.

    Args:
        device: Where they are needed.
        *parts: Modules with weights, each on one device.

    Yields:
        Nothing.
    """
    homes = [next(part.parameters()).device for part in parts]
    for part in parts:
        part.to(device)
    try:
        yield
    finally:
        for part, home in zip(parts, homes, strict=True):
            part.to(home)
