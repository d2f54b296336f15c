"""What a base is made of, without its weights: to find a mistake before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sdtune.models.loading import find_configs

__all__ = ["load_skeleton"]


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


def _build(name: str, path: Path) -> nn.Module:
    import transformers
    from diffusers import UNet2DConditionModel

    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    with torch.device("meta"):
        if name == "unet":
            unet: nn.Module = UNet2DConditionModel.from_config(config)
            return unet
        kind = getattr(transformers, (config.get("architectures") or ["CLIPTextModel"])[0])
        text_encoder: nn.Module = kind(kind.config_class(**config))
        return text_encoder
