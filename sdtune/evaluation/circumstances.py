"""Where and with what an evaluation was made, for its record."""

from __future__ import annotations

import torch

from sdtune._imports import installed_versions

__all__ = ["device_name", "library_versions"]

_LIBRARIES = ("lightning", "diffusers", "transformers", "peft")


def device_name(device: torch.device) -> str:
    """Name a device for readers.

    Args:
        device: Where the model is.

    Returns:
        `cpu`, or the name of the GPU.
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def library_versions() -> dict[str, str]:
    """Tell the versions of what drew the pictures.

    Returns:
        Library -> version, of those that are installed under their own name.
    """
    # torch itself names the build, as its package may not
    return {"torch": str(torch.__version__), **installed_versions(*_LIBRARIES)}
