"""What a base is made of, without its weights: to find a mistake before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sdtune.models.loading import find_configs

__all__ = ["find_resolution", "load_skeleton"]


def load_skeleton(base: str | Path) -> dict[str, nn.Module]:
    """Build the parts of a base that can be tuned, from their configurations alone.

    Args:
        base: As in `check_base`.

    Returns:
        `unet` and each text encoder, on the meta device: modules with names and shapes, which hold
        no values.

    Raises:
        ValueError: If `check_base` refuses the base, or a configuration cannot be read.
    """
    return {name: _build(name, path) for name, path in find_configs(base).items()}


def find_resolution(base: str | Path) -> int:
    """Find the size of the pictures that a base was made for, from its configurations alone.

    Args:
        base: As in `check_base`.

    Returns:
        `StableDiffusion.resolution`: the side of a square, in pixels.

    Raises:
        ValueError: As `load_skeleton`.
    """
    paths = find_configs(base, "vae")
    levels = len(_read(paths["vae"])["block_out_channels"])
    return int(_read(paths["unet"])["sample_size"]) * int(2 ** (levels - 1))


def _read(path: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return config


def _build(name: str, path: Path) -> nn.Module:
    import transformers
    from diffusers import UNet2DConditionModel

    config = _read(path)
    with torch.device("meta"):
        if name == "unet":
            unet: nn.Module = UNet2DConditionModel.from_config(config)
            return unet
        kind = getattr(transformers, (config.get("architectures") or ["CLIPTextModel"])[0])
        text_encoder: nn.Module = kind(kind.config_class(**config))
        return text_encoder
