"""Captioned pictures as a data set whose every sample is a function of (seed, epoch, index)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset

from sdtune.data.buckets import BucketSettings, Size
from sdtune.data.decoding import read_part
from sdtune.data.image_folder import picture_size
from sdtune.data.latent_cache import LatentCache, latent_key
from sdtune.data.rounds import Rounds
from sdtune.data.transforms import Box, crop_box, to_pixel_values
from sdtune.functional.randomness import Stream, counter_uniform

__all__ = ["Crop", "Encode", "Picture", "PictureDataset", "too_small"]

Crop = Literal["center", "random"]
Encode = Callable[[Tensor], Tensor]
MomentsKey = tuple[int, Size, bool]
"""Position of a picture, the size at which it is read, and whether it is mirrored."""


@dataclass(frozen=True)
class Picture:
    """A picture on disk and what it shows.

    Args:
        path: The file.
        name: Its path relative to the folder of the data set.
        caption: What the model is told about it.
        known_size: Width and height in pixels, if that is known already.
        sha256: Of the file's bytes, in hexadecimal, if that is known.
        repeats: How often an epoch shows it, relative to the others.
        mask: A picture beside it of which part of it counts, if there is one.
    """

    path: Path
    name: str
    caption: str
    known_size: tuple[int, int] | None = None
    sha256: str = ""
    repeats: int = 1
    mask: Path | None = None

    @cached_property  # every sample asks, also one whose latents are in memory
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, after EXIF rotation."""
        return self.known_size or picture_size(self.path)


def too_small(pictures: Iterable[Picture], resolution: int) -> list[str]:
    """List the pictures that have to be enlarged.

    Args:
        pictures: Pictures that open.
        resolution: Side of the square that they are resized to cover, in pixels.

    Returns:
        A line for each picture whose shorter side is below the resolution.
    """
    return [
        f"{picture.path}: is {width}x{height} pixels and is enlarged to {resolution}; "
        "look for a larger version, or lower `data.resolution`."
        for picture in pictures
        for width, height in [picture.size]
        if min(width, height) < resolution
    ]


class PictureDataset(Dataset[dict[str, Any]]):
    """Pictures and captions, as pixels or, once encoded, as moments of the VAE's posterior.

    A sample is asked for by (epoch, index), as `BatchOrder` yields them, or by index alone
    for epoch 0. Crop, flip and caption dropout are drawn from (seed, epoch, index), so a sample is
    the same in any process and after any resume.

    Args:
        pictures: The pictures.
        resolution: Side of the square that the model reads, in pixels.
        buckets: Sizes of about the square's area, of which each picture has the one that fits it
            best; None makes all of them square.
        crop: Where that size is cut out of the picture.
        flip: Whether half of the samples are mirrored, left to right.
        repeats: How often an epoch shows each picture, times its own `Picture.repeats`.
        caption_dropout: Share of the samples whose caption is left empty, in [0, 1].
        seed: Seed of crop, flip and dropout.

    Attributes:
        beside: Sizes of the samples that these pictures stand beside, as class pictures do.
        moments: What the VAE made of the pictures, if it has seen them; see `encode`.
    """

    def __init__(
        self,
        pictures: Sequence[Picture],
        *,
        resolution: int | None,
        buckets: BucketSettings | None = None,
        crop: Crop = "center",
        flip: bool = False,
        repeats: int = 1,
        caption_dropout: float = 0.0,
        seed: int = 42,
    ) -> None:
        self.pictures = list(pictures)
        self.resolution = resolution
        self.buckets = buckets
        self.crop = crop
        self.flip = flip
        self.rounds = Rounds([repeats * picture.repeats for picture in self.pictures])
        self.caption_dropout = caption_dropout
        self.seed = seed
        self.beside: Sequence[Size] = ()
        self._found: Sequence[Size] = ()
        self._found_for: tuple[int, int] | None = None
        self.moments: dict[MomentsKey, Tensor] = {}

    def __len__(self) -> int:
        return len(self.rounds)

    def __getitem__(self, key: int | tuple[int, int]) -> dict[str, Any]:
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self.sample(epoch, index)

    def sample(self, epoch: int, index: int, target: Size | None = None) -> dict[str, Any]:
        """Make a sample.

        Args:
            epoch: The epoch.
            index: Which sample of it.
            target: Width and height that the model reads, in pixels; None for the picture's own.

        Returns:
            `pixel_values` (3, H, W) or `moments` (2C, h, w), `caption`, `index`, `name`, and what
            SDXL is told of the picture: `original_size`, `crop_top_left` and `target_size`, two
            numbers of pixels each, the vertical one first.

        Raises:
            IndexError: If there is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected an index below {len(self)}, but got {index}.")
        position = self._position(index)
        picture = self.pictures[position]
        flipped = self._is_flipped(epoch, index)
        dropped = self._uniform(Stream.CAPTION_DROPOUT, epoch, index) < self.caption_dropout
        sample = {
            "caption": "" if dropped else picture.caption,
            "index": index,
            "name": picture.name,
        }
        target = target or self.target_of(position)
        box = self._crop_box(picture, target, epoch, index)
        sample |= _told_sizes(picture, target, box, flipped)
        if self.moments:
            return {"moments": self.moments[position, target, flipped], **sample}
        pixel_values = to_pixel_values(read_part(picture.path, target, box), flipped)
        return {"pixel_values": pixel_values, **sample}

    def target_of(self, position: int) -> Size:
        """Say at which size a picture is read.

        Args:
            position: Which of `pictures`.

        Returns:
            Width and height, in pixels.

        Raises:
            ValueError: If the resolution is not known.
        """
        return self._targets(self._known_resolution())[position]

    def sizes(self) -> Sequence[Size]:
        """Say at which size each sample is read, by index; see `target_of`."""
        targets = self._targets(self._known_resolution())
        return [targets[self._position(index)] for index in range(len(self))]

    @property
    def originals(self) -> list[Picture]:
        """The pictures that the user gave, in the order of `pictures`."""
        return self.pictures

    def captions(self) -> list[str]:
        """List the distinct captions that samples may have, the empty one included if it occurs."""
        dropped = [""] if self.caption_dropout > 0 else []
        return list(dict.fromkeys([picture.caption for picture in self.pictures] + dropped))

    @torch.no_grad()
    def encode(
        self,
        encode: Encode,
        encoder: str,
        cache: LatentCache,
        device: torch.device | str = "cpu",
        positions: Iterable[int] | None = None,
    ) -> dict[MomentsKey, Tensor]:
        """Encode pictures whose crop is fixed, or read what was encoded before.

        Pictures go through the VAE one by one, so that their latents do not depend, in the last
        bit, on which others happened to be missing.

        Args:
            encode: The VAE: (1, 3, H, W) in [-1, 1] to (1, 2C, h, w) mean and log-variance.
            encoder: What the VAE is: its weights, its dtype.
            cache: Where moments are looked up and kept.
            device: Where the VAE is.
            positions: Which of `pictures`; None is all.

        Returns:
            (2C, h, w) float32 moments on the CPU for each (position, size, flipped): of each
            picture at its own size, or, if there are any, at those of `beside`.

        Raises:
            ValueError: If the VAE returns a number that is not finite.
        """
        moments = {}
        for position in range(len(self.pictures)) if positions is None else positions:
            picture = self.pictures[position]
            data = picture.path.read_bytes()
            targets = self.beside or [self.target_of(position)]
            for target, flipped in product(targets, (False, True) if self.flip else (False,)):
                box = self._crop_box(picture, target, epoch=0, index=position)
                key = latent_key(data, encoder, target, box, flipped)
                found = cache.get(key)
                if found is None:
                    pixel_values = to_pixel_values(read_part(picture.path, target, box), flipped)
                    found = encode(pixel_values[None].to(device))[0].to("cpu", torch.float32)
                    if not found.isfinite().all():
                        raise ValueError(
                            f"Expected finite latents, but the VAE returned NaN or infinity for "
                            f"{picture.path}: use `trainer.precision` 32-true or bf16-mixed."
                        )
                    cache.put(key, found)
                moments[position, target, flipped] = found
        return moments

    def _is_flipped(self, epoch: int, index: int) -> bool:
        return self.flip and self._uniform(Stream.FLIP, epoch, index) < 0.5

    def _position(self, index: int) -> int:
        """Find the picture of a sample."""
        return self.rounds.position(index)

    def _known_resolution(self) -> int:
        if self.resolution is None:
            raise ValueError(
                "Expected `data.resolution` to be a number of pixels, but got None "
                "and no model to take it from."
            )
        return self.resolution

    def _targets(self, resolution: int) -> Sequence[Size]:
        """Give the size of each picture, found once for a resolution."""
        if self._found_for != (resolution, len(self.pictures)):
            if self.buckets is None:
                self._found = [(resolution, resolution)] * len(self.pictures)
            else:
                choose = cache(self.buckets.around(resolution).of)
                self._found = [choose(picture.size) for picture in self.pictures]
            self._found_for = (resolution, len(self.pictures))
        return self._found

    def _crop_box(self, picture: Picture, target: Size, epoch: int, index: int) -> Box:
        centered = self.crop == "center"
        across, down = (
            0.5 if centered else self._uniform(Stream.CROP, epoch, index, axis) for axis in (0, 1)
        )
        return crop_box(picture.size, target, (across, down))

    def _uniform(self, *counters: int) -> float:
        return counter_uniform(self.seed, *counters)


def _told_sizes(picture: Picture, target: Size, box: Box, flipped: bool) -> dict[str, Size]:
    width, height = picture.size
    left, top, right, _ = box
    scale = target[0] / (right - left)  # to cover the target
    corner = round(top * scale), round((width - right if flipped else left) * scale)
    return {"original_size": (height, width), "crop_top_left": corner, "target_size": target[::-1]}
