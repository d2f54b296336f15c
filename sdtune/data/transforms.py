"""Turn a picture into the pixels that a model reads: resize to cover, crop, scale."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["Box", "crop_box", "cut_out", "share_kept", "to_pixel_values"]

Box = tuple[float, float, float, float]


def crop_box(
    size: tuple[int, int], target: tuple[int, int], position: tuple[float, float] = (0.5, 0.5)
) -> Box:
    """Find the part of a picture that remains when it is resized to cover a target and cropped.

    Args:
        size: Width and height of the picture, in pixels.
        target: Width and height that a model will read, in pixels.
        position: Where the crop lies in the room that is left, in [0, 1] from the left and from
            the top; (0.5, 0.5) is the centre.

    Returns:
        Left, top, right and bottom in the picture's own pixels, with the target's aspect ratio.
    """
    width, height = size
    scale = max(target[0] / width, target[1] / height)
    crop_width, crop_height = min(target[0] / scale, width), min(target[1] / scale, height)
    left = (width - crop_width) * position[0]
    top = (height - crop_height) * position[1]
    return left, top, left + crop_width, top + crop_height


def share_kept(size: tuple[int, int], target: tuple[int, int]) -> float:
    """Say what share of a picture's pixels `crop_box` leaves, in (0, 1]."""
    left, top, right, bottom = crop_box(size, target)
    return (right - left) * (bottom - top) / (size[0] * size[1])


def cut_out(image: Image.Image, target: tuple[int, int], box: Box) -> Image.Image:
    """Cut a box out of a picture and resize it with an antialiased Lanczos filter.

    Args:
        image: An 8-bit RGB picture.
        target: Width and height of the result, in pixels.
        box: Left, top, right and bottom in the picture's pixels; see `crop_box`.

    Returns:
        The part, in the target's size.
    """
    return image.resize(target, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def to_pixel_values(image: Image.Image, flip: bool = False) -> Tensor:
    """Scale a picture to what a model reads.

    Args:
        image: An 8-bit RGB picture of the size that the model reads; see `cut_out`.
        flip: Whether to mirror left and right.

    Returns:
        (3, H, W) float32 in [-1, 1].
    """
    if flip:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = torch.from_numpy(np.array(image))  # (H, W, 3) uint8
    return pixels.permute(2, 0, 1).contiguous().float() / 127.5 - 1  # (3, H, W)
