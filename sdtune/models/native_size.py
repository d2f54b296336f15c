"""The size of the pictures that a base was made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdtune.models.empty_parts import named_values

__all__ = ["native_resolution"]


def native_resolution(unet: Mapping[str, Any], vae: Mapping[str, Any], base: str) -> int:
    """Find the size of the pictures that a base was made for.

    Args:
        unet: The UNet's configuration, whose `sample_size` is in latents.
        vae: The VAE's, whose `sample_size` in pixels counts where the UNet has none.
        base: What the user typed, for messages.

    Returns:
        The side of a square, in pixels.

    Raises:
        ValueError: If neither has a size, or it is no square's.
    """
    of_unet = _side(unet, "unet", base)
    if of_unet is not None:
        return of_unet * int(2 ** (len(vae["block_out_channels"]) - 1))
    of_vae = _side(vae, "vae", base)
    if of_vae is None:
        raise ValueError(
            f"Expected `sample_size` in unet/config.json of `base` {base} to be the side of its "
            "latents, but neither the UNet's nor the VAE's configuration has one: write it into "
            "unet/config.json, 64 for pictures of 512 px and 128 for 1024 px."
        )
    return of_vae


def _side(config: Mapping[str, Any], part: str, base: str) -> int | None:
    """Read the side of a square, or None if the configuration names none."""
    size = named_values(config).get("sample_size")
    if size is None:
        return None
    sides = size if isinstance(size, list | tuple) and len(size) == 2 else [size, size]
    if sides[0] == sides[1] and type(sides[0]) is int and sides[0] > 0:
        return int(sides[0])
    raise ValueError(
        f"Expected `sample_size` in {part}/config.json of `base` {base} to be the side of a "
        f"square, but got {size}: write one whole number, the side that pictures are drawn at by "
        "default."
    )
