"""A part of a base as its configuration describes it, without values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["make_empty_part", "named_values", "read_config"]

_DEFAULTS = "_use_default_values"  # diffusers' list of what a configuration did not name


def make_empty_part(name: str, path: Path) -> nn.Module:
    """Build a part from its configuration alone.

    Args:
        name: `unet`, `vae`, or a text encoder's.
        path: Its config.json.

    Returns:
        It, on the meta device: modules with names and shapes, which hold no values.

    Raises:
        ValueError: If the configuration cannot be read.
    """
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    config = read_config(path)
    with torch.device("meta"):
        if name in ("unet", "vae"):
            part_class = UNet2DConditionModel if name == "unet" else AutoencoderKL
            part: nn.Module = part_class.from_config(config)
            return part
        kind = getattr(transformers, (config.get("architectures") or ["CLIPTextModel"])[0])
        text_encoder: nn.Module = kind(kind.config_class(**config))
        return text_encoder


def read_config(path: Path) -> dict[str, Any]:
    """Read a part's configuration.

    Args:
        path: Its config.json.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} cannot be read: it is not a JSON object.")
    return config


def named_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of a configuration what its class filled in.

    Args:
        config: Of any of diffusers' classes, read from a file or of an object.
    """
    filled_in = {_DEFAULTS, *config.get(_DEFAULTS, ())}
    return {name: value for name, value in config.items() if name not in filled_in}
