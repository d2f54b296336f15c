"""A picture's texture, without what it shows: Gram matrices of a VAE encoder's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sdtune.functional.randomness import Stream, counter_randn
from sdtune.metrics.features import Embedder
from sdtune.metrics.images import Images

if TYPE_CHECKING:
    from diffusers import AutoencoderKL

__all__ = ["GramEmbedder", "gram_vector"]

_MOST_CHANNELS = 64


def gram_vector(feature_maps: Tensor) -> Tensor:
    """Compute the Gram matrix of centred features, each once.

    Gatys et al. (2016, 10.1109/CVPR.2016.265) do not centre; without it the matrix is mostly the
    picture's mean colour, which belongs to what it shows.

    Args:
        feature_maps: (B, C, h, w) of one layer.

    Returns:
        (B, C * (C + 1) / 2) covariances of the channels over the picture.
    """
    flat = feature_maps.flatten(2).float()  # (B, C, h, w) -> (B, C, h * w)
    centred = flat - flat.mean(dim=2, keepdim=True)
    gram = centred @ centred.transpose(1, 2) / flat.shape[2]
    rows, columns = torch.triu_indices(gram.shape[1], gram.shape[1], device=gram.device)
    return gram[:, rows, columns]


class GramEmbedder(Embedder):
    """Gram matrices after each resolution of a frozen VAE encoder, which every base has.

    Layers of more than 64 channels are seen through 64 fixed random mixtures of them.

    Args:
        vae: A diffusers `AutoencoderKL`, such as the base's.
    """

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder: Any = vae.encoder
        self.size = int(vae.config["sample_size"])

    def _embed(self, images: Images) -> Tensor:
        like = next(self.encoder.parameters())
        pixels = torch.cat([_square(image, self.size) for image in images]).to(like)
        maps = self.encoder.conv_in(2.0 * pixels - 1.0)
        vectors = [gram_vector(maps)]
        for number, block in enumerate(self.encoder.down_blocks):
            for resnet in block.resnets:
                maps = resnet(maps, None)
            vectors.append(gram_vector(_mixed(maps, number)))
            for downsampler in block.downsamplers or ():
                maps = downsampler(maps)
        return torch.cat([F.normalize(vector, dim=1) for vector in vectors], dim=1)


def _square(image: Tensor, size: int) -> Tensor:
    """Resize a picture's shorter side, and take the middle of the longer one.

    Squeezed, strokes and textures would be others.
    """
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[None, :, top : top + side, left : left + side].float()
    if side == size:
        return square
    resized = F.interpolate(square, (size, size), mode="bicubic", antialias=True)
    return resized.clamp(0.0, 1.0)


def _mixed(maps: Tensor, layer: int) -> Tensor:
    channels = maps.shape[1]
    if channels <= _MOST_CHANNELS:
        return maps
    mixtures = counter_randn((_MOST_CHANNELS, channels), 0, Stream.INITIALIZATION, 0, [layer])[0]
    return torch.einsum("mc,bchw->bmhw", mixtures.to(maps) / channels**0.5, maps)
