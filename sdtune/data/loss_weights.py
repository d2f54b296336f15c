"""How much each place of a picture counts in the loss, by a mask."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from sdtune.data.decoding import read_alpha, read_mask
from sdtune.data.transforms import Box

__all__ = ["read_loss_weights"]

_KEPT = 4096  # masks at the latents' size, of 16 kB each at 512 pixels


class _Masked(Protocol):
    """A picture, see `sdtune.data.pictures.Picture`."""

    @property
    def path(self) -> Path: ...

    @property
    def mask(self) -> Path | None: ...

    @property
    def size(self) -> tuple[int, int]: ...


def read_loss_weights(
    picture: _Masked,
    target: tuple[int, int],
    box: Box,
    flipped: bool,
    grid: tuple[int, int],
    unmasked_weight: float,
) -> Tensor:
    """Read a picture's mask as its pixels are read: the same part, the same size, mirrored alike.

    The mask is the one beside it, white where it counts; without one the picture's transparency;
    without that all of it counts.

    Args:
        picture: The picture.
        target: Width and height at which it is read, in pixels.
        box: The part that is read, in the picture's own pixels.
        flipped: Whether it is mirrored.
        grid: Height and width of the result, each a part of the target's; a place is the mean
            over its pixels.
        unmasked_weight: Weight of what the mask leaves out, in [0, 1].

    Returns:
        (1, h, w) float32 in [unmasked_weight, 1].

    Raises:
        PictureError: If the mask does not open.
    """
    modified = (picture.mask or picture.path).stat().st_mtime_ns
    mask = _read(picture.path, picture.mask, modified, picture.size, target, box, flipped, grid)
    return unmasked_weight + (1.0 - unmasked_weight) * mask


@lru_cache(maxsize=_KEPT)
def _read(
    path: Path,
    mask: Path | None,
    _modified: int,
    size: tuple[int, int],
    target: tuple[int, int],
    box: Box,
    flipped: bool,
    grid: tuple[int, int],
) -> Tensor:
    image = read_alpha(path) if mask is None else read_mask(mask)
    if image is None:
        return torch.ones(1, *grid)
    across, down = image.width / size[0], image.height / size[1]
    left, top, right, bottom = box
    scaled = (
        left * across,
        top * down,
        min(right * across, image.width),
        min(bottom * down, image.height),
    )
    image = image.resize(target, Image.Resampling.BOX, box=scaled)
    if flipped:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = torch.from_numpy(np.array(image))[None].float() / 255  # (1, H, W)
    return F.adaptive_avg_pool2d(pixels, grid)  # (1, h, w)
