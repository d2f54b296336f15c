"""The two passes through a VAE: a slice at a time, and in a precision that holds its values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

__all__ = ["decode", "encode"]

# the feature maps are at full resolution and hundreds of channels wide: memory is bounded by the
# pixels that pass through at once, one 512 px picture or sixty-four of 64 px
_PIXELS_AT_ONCE = 512 * 512

_WAY_OUT = (
    "In float16 the VAE of Stable Diffusion XL does so: keep the VAE in float32 "
    "(`model.vae.float()`), or put the weights of `madebyollin/sdxl-vae-fp16-fix` into the `vae` "
    "folder of the base."
)


def encode(vae: AutoencoderKL, pixel_values: Tensor, source: str) -> Tensor:
    """Encode pictures into the parameters of the posterior.

    Args:
        vae: The autoencoder.
        pixel_values: (B, 3, H, W) in [-1, 1], sides divisible by the VAE's factor.
        source: What the base was loaded from, for messages.

    Returns:
        (B, 2C, h, w) float32 mean and log-variance, unscaled, on the VAE's device.

    Raises:
        ValueError: If finite pictures are encoded to something that is not.
    """
    with _precise(vae):
        moments = torch.cat(
            [
                vae.encode(each.to(vae.device, vae.dtype)).latent_dist.parameters
                for each in pixel_values.split(_at_once(pixel_values, scale_factor=1))
            ]
        )
        _check_finite(vae, pixel_values, moments, source, "latents")
    return moments.float().contiguous()


def decode(vae: AutoencoderKL, latents: Tensor, scale_factor: int, source: str) -> Tensor:
    """Decode latents into pictures.

    Args:
        vae: The autoencoder.
        latents: (B, C, h, w) unscaled latents, on any device.
        scale_factor: Pixels per latent, along either side.
        source: What the base was loaded from, for messages.

    Returns:
        (B, 3, H, W) float32 in about [-1, 1], on the VAE's device.

    Raises:
        ValueError: If finite latents are decoded to something that is not.
    """
    with _precise(vae):
        images = torch.cat(
            [
                vae.decode(each.to(vae.device, vae.dtype), return_dict=False)[0]
                for each in latents.split(_at_once(latents, scale_factor))
            ]
        )
        _check_finite(vae, latents, images, source, "pictures")
    return images.float()


@contextmanager
def _precise(vae: AutoencoderKL) -> Iterator[None]:
    """Compute in the weights' own precision; in float32 where float16 is said to overflow."""
    overflows = vae.dtype == torch.float16 and bool(vae.config.get("force_upcast", True))
    cast_to = cast(Any, vae).to  # diffusers' own is no method to a type checker
    if overflows:
        cast_to(torch.float32)
    try:
        with torch.autocast(vae.device.type, enabled=False):
            yield
    finally:
        if overflows:
            cast_to(torch.float16)


def _check_finite(vae: AutoencoderKL, given: Tensor, found: Tensor, source: str, what: str) -> None:
    # what was no number before is not the VAE's doing
    if not found.isfinite().all() and given.isfinite().all():
        raise ValueError(
            f"Expected the VAE of {source} to give finite {what}, but in "
            f"{str(vae.dtype).removeprefix('torch.')} it overflows. {_WAY_OUT}"
        )


def _at_once(images: Tensor, scale_factor: int) -> int:
    height, width = images.shape[-2:]
    return max(1, _PIXELS_AT_ONCE // (height * width * scale_factor**2))
