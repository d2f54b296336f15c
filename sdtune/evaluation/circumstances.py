"""Where and with what an evaluation was made, for its record."""

from __future__ import annotations

from typing import cast

import torch

from sdtune._imports import installed_versions
from sdtune.models.quantization import quantized_layers
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.run_folder.terms import Precision, QuantizedParts

__all__ = ["device_name", "library_versions", "precision_now", "quantized_parts"]

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


def precision_now(model: StableDiffusion) -> Precision:
    """Tell what a model computes in: as autocast has it where that is on, else as its UNet is.

    Args:
        model: The bundle, on its device.
    """
    kind = model.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype
    return cast(Precision, str(dtype).removeprefix("torch."))


def quantized_parts(model: StableDiffusion) -> QuantizedParts:
    """Tell which parts of a model are quantised, and how.

    Args:
        model: The bundle, with or without adapters.
    """
    ways = list(quantized_layers(model.unet))
    if not ways:
        return "none"
    texts = any(quantized_layers(each) for each in model.text_encoders)
    return cast(QuantizedParts, f"{ways[0]}:unet" + ("+text_encoders" if texts else ""))
