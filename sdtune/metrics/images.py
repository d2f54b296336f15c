"""Pictures as the metrics take them: checked, and of one size where that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Images", "check_images", "check_training_pictures", "to_grey"]

Images: TypeAlias = Tensor | Sequence[Tensor]
"""(B, 3, H, W) in [0, 1], or a list of (3, H, W) whose sizes may differ."""

# luma of Rec. 709, as in skimage.color.rgb2gray
_LUMA = (0.2125, 0.7154, 0.0721)


def check_images(images: Images) -> None:
    """Check that pictures are colour pictures in [0, 1].

    Raises:
        ValueError: If one is not; the message says what it is.
    """
    for image in images:
        if image.ndim != 3 or image.shape[0] != 3:
            raise ValueError(f"Expected pictures of shape (3, H, W), but got {tuple(image.shape)}.")
        if not image.is_floating_point():
            raise ValueError(f"Expected pictures of floats in [0, 1], but got {image.dtype}.")
        low, high = image.aminmax()
        if not (low >= 0 and high <= 1):  # not a number is neither
            raise ValueError(
                f"Expected pictures in [0, 1], but got values from {low:.4g} to {high:.4g}."
            )


def check_training_pictures(training: Images) -> None:
    """Check that there are enough pictures, or rows of features, to compare samples with.

    Raises:
        ValueError: If there are fewer than two.
    """
    if len(training) < 2:
        raise ValueError(f"Expected at least two training pictures, but got {len(training)}.")


def to_grey(images: Images, size: int) -> Tensor:
    """Make pictures grey, and resize each to a square whatever its shape was.

    Args:
        images: (B, 3, H, W) in [0, 1], or a list of (3, H, W).
        size: Width and height of the result in pixels.

    Returns:
        (B, 1, size, size) float32 in [0, 1], resized by an antialiased bilinear filter.
    """
    check_images(images)
    return torch.cat([_grey_square(image, size) for image in images])


def _grey_square(image: Tensor, size: int) -> Tensor:
    luma = image.new_tensor(_LUMA, dtype=torch.float32)
    grey = torch.einsum("chw,c->hw", image.float(), luma)[None, None]  # -> (1, 1, H, W)
    if grey.shape[-2:] == (size, size):
        return grey
    return F.interpolate(grey, (size, size), mode="bilinear", antialias=True)
