"""What a base is made of, without its weights: to find a mistake before anything is loaded."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sdtune.models.empty_parts import make_empty_part, read_config
from sdtune.models.loading import find_configs
from sdtune.models.native_size import native_resolution

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
    return {name: make_empty_part(name, path) for name, path in find_configs(base).items()}


def find_resolution(base: str | Path) -> int:
    """Find the size of the pictures that a base was made for, from its configurations alone.

    Args:
        base: As in `check_base`.

    Returns:
        `StableDiffusion.resolution`: the side of a square, in pixels.

    Raises:
        ValueError: As `load_skeleton`, or if the configurations name no size.
    """
    paths = find_configs(base, "vae")
    return native_resolution(read_config(paths["unet"]), read_config(paths["vae"]), str(base))
