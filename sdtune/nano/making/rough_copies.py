"""Rough copies of pictures: bent, blurred and blotched, as a small model draws them."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["rough_copies"]

_MAX_BEND = 0.1  # of half the width
_MAX_BLUR = 2.0  # pixels, standard deviation
_MAX_BLOTCH = 0.3  # of a range of 2


def rough_copies(images: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Copy pictures as a hasty hand would.

    Outlines bend by a smooth random field (Simard et al. 2003), details blur, colours get blotches,
    each as much as a draw from [0, 1] for the picture says. A CLIP of millions of web pictures has
    seen such, one of clean drawings alone has not, and misnames what anyone would recognise.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        share: Share of pictures that are changed, in [0, 1].
        generator: Source of randomness, on the CPU.

    Returns:
        The same shape and range.
    """
    count, _, height, width = images.shape

    def draw(*shape: int) -> Tensor:
        return torch.randn(count, *shape, generator=generator).to(images)

    strengths = torch.rand(count, 3, generator=generator)
    strengths *= torch.rand(count, 1, generator=generator) < share
    bend, blur, blotch = strengths.to(images)[:, :, None, None, None].unbind(dim=1)

    field = _enlarged(draw(2, 5, 5), height, width)
    straight = F.affine_grid(
        torch.eye(2, 3).to(images).expand(count, 2, 3), list(images.shape), align_corners=False
    )
    grid = straight + _MAX_BEND / 2 * bend * field.permute(0, 2, 3, 1)
    images = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    images = _blurred(images, _MAX_BLUR * blur.flatten())
    images = images + _MAX_BLOTCH / 2 * blotch * _enlarged(draw(3, 12, 12), height, width)
    return images.clamp(-1, 1)


def _enlarged(field: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(field, (height, width), mode="bicubic", align_corners=False)


def _blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each picture by a Gaussian of its own width."""
    count, reach = len(images), round(2 * _MAX_BLUR)
    offsets = torch.arange(-reach, reach + 1).to(images)
    kernels = torch.exp(-(offsets**2) / (2 * sigmas.clamp(min=0.05)[:, None] ** 2))
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    rows = F.pad(images.transpose(0, 1), (reach,) * 4, mode="replicate")  # (C, B, H, W)
    rows = F.conv2d(rows, kernels[:, None, :, None], groups=count)
    rows = F.conv2d(rows, kernels[:, None, None, :], groups=count)
    return rows.transpose(0, 1)
