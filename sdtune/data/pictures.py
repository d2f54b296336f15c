"""Captioned pictures as a data set whose every sample is a function of (seed, epoch, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch.utils.data import Dataset

from sdtune.data.buckets import BucketSettings, Size, bucket_chooser
from sdtune.data.caption_rules import CaptionRules
from sdtune.data.decoding import read_part
from sdtune.data.encoded import Encode, Encoded, Part, encode_parts, latent_key
from sdtune.data.image_folder import picture_size
from sdtune.data.loss_weights import read_loss_weights
from sdtune.data.rounds import Rounds
from sdtune.data.transforms import Box, crop_box, to_pixel_values
from sdtune.functional.randomness import Stream, counter_uniform

__all__ = ["Crop", "Encode", "Picture", "PictureDataset", "crops_note"]

Crop = Literal["center", "random"]

# four tags in any order: with more, prompts are not all encoded before training
_FEW_FORMS = 24

# mean and log-variance of four channels in 4 bytes each, for each 8 x 8 pixels
_PIXELS_A_BYTE = 2


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
        other_captions: What else may be said of it; a sample draws one of all its captions.
        perceptual: What it looks like, see `perceptual_hash`, if that is known.
    """

    path: Path
    name: str
    caption: str
    known_size: tuple[int, int] | None = None
    sha256: str = ""
    repeats: int = 1
    mask: Path | None = None
    other_captions: tuple[str, ...] = ()
    perceptual: int | None = field(default=None, compare=False)

    @property
    def captions(self) -> tuple[str, ...]:
        """All that may be said of it, one or more."""
        return (self.caption, *self.other_captions)

    @cached_property  # every sample asks, also one whose latents are in memory
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, as it is meant to be seen."""
        return self.known_size or picture_size(self.path)


def crops_note(cached_views: int) -> str:
    """Say what random crops mean for the cache, in a sentence."""
    if cached_views:
        return (
            f"data.cached_views: {cached_views} random crops of each picture are encoded once and "
            "kept; a sample draws one of them."
        )
    return (
        "data.crop: each sample has a random crop of its own, so no latents are kept; "
        "`data.cached_views` keeps some crops of each picture."
    )


class PictureDataset(Dataset[dict[str, Any]]):
    """Pictures and captions, as pixels or, once encoded, as moments of the VAE's posterior.

    A sample is asked for by (epoch, index), as `BatchOrder` yields them, or by index alone
    for epoch 0. Crop, flip and caption are drawn from (seed, epoch, index), so a sample is the same
    in any process and after any resume.

    Args:
        pictures: The pictures.
        resolution: Side of the square that the model reads, in pixels.
        buckets: Sizes of about the square's area, of which each picture has the one that fits it
            best; None makes all of them square.
        crop: Where that size is cut out of the picture.
        flip: Whether half of the samples are mirrored, left to right.
        repeats: How often an epoch shows each picture, times its own `Picture.repeats`.
        caption_dropout: Share of the samples whose caption is left empty, in [0, 1].
        caption_rules: What is drawn of a caption, and what stands around it.
        unmasked_weight: Weight in the loss of what a picture's mask leaves out, in [0, 1]; None
            makes no use of masks.
        cached_views: How many random crops of each picture there are, one of which a sample
            draws; 0 crops each sample anew. Centred crops do not ask for it.
        seed: Seed of crop, flip and captions.

    Attributes:
        beside: Sizes of the samples that these pictures stand beside, as class pictures do.
        encoded: What the VAE made of the pictures, if samples hold that in place of pixels; see
            `encode`.
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
        caption_rules: CaptionRules = CaptionRules(),  # noqa: B008  # it is frozen
        unmasked_weight: float | None = None,
        cached_views: int = 0,
        seed: int = 42,
    ) -> None:
        self.pictures = list(pictures)
        self.resolution = resolution
        self.buckets = buckets
        self.crop = crop
        self.flip = flip
        self.repeats = repeats
        self.rounds = Rounds([repeats * picture.repeats for picture in self.pictures])
        self.caption_dropout = caption_dropout
        self.caption_rules = caption_rules
        self.unmasked_weight = unmasked_weight
        self.cached_views = 0 if crop == "center" else cached_views
        self.seed = seed
        self.beside: Sequence[Size] = ()
        self._found: Sequence[Size] = ()
        self._sizes: Sequence[Size] = ()
        self._sizes_of: Sequence[Size] | None = None
        self._found_for: tuple[int, int] | None = None
        self.encoded: Encoded | None = None

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
            numbers of pixels each, the vertical one first. Where masks count, `loss_weights`
            (1, H, W) or (1, h, w), see `read_loss_weights`.

        Raises:
            IndexError: If there is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Expected an index below {len(self)}, but got {index}.")
        position = self._position(index)
        picture = self.pictures[position]
        drawn_at = self._drawn_at(epoch, index, position)
        flipped = self._is_flipped(drawn_at, position)
        dropped = self._uniform(Stream.CAPTION_DROPOUT, epoch, index) < self.caption_dropout
        rules = self._rules_of(index)
        sample = {
            "caption": "" if dropped else rules.drawn(picture.captions, self.seed, epoch, index),
            "index": index,
            "name": picture.name,
        }
        target = target or self.target_of(position)
        box = self._crop_box(picture, target, drawn_at)
        sample |= _told_sizes(picture, target, box, flipped)
        if self.encoded is not None:
            part = self._part(position, target, box, flipped)
            pixels = {"moments": self.encoded.moments(part)}
        else:
            pixel_values = to_pixel_values(read_part(picture.path, target, box), flipped)
            pixels = {"pixel_values": pixel_values}
        if self.unmasked_weight is not None:
            ((height, width),) = (each.shape[-2:] for each in pixels.values())
            sample["loss_weights"] = read_loss_weights(
                picture, target, box, flipped, (height, width), self.unmasked_weight
            )
        return {**pixels, **sample}

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
        if len(self._sizes) != len(self) or self._sizes_of is not targets:
            self._sizes = [targets[self._position(index)] for index in range(len(self))]
            self._sizes_of = targets
        return self._sizes

    def repeats_by_picture(self) -> list[int]:
        """Say how often an epoch shows each of `pictures`."""
        return [self.repeats * picture.repeats for picture in self.pictures]

    @property
    def originals(self) -> list[Picture]:
        """The pictures that the user gave, in the order of `pictures`, with whole captions."""
        rules = self.caption_rules
        if not rules.prefix and not rules.suffix:
            return self.pictures
        return [replace(picture, caption=rules.whole(picture.caption)) for picture in self.pictures]

    @property
    def draws_captions(self) -> bool:
        """Whether samples have captions that `captions` does not list, for they are too many."""
        if not self.caption_rules.draws_tags:
            return False
        every = (each for picture in self.pictures for each in picture.captions)
        return any(self.caption_rules.forms(each, _FEW_FORMS) is None for each in every)

    def captions(self) -> list[str]:
        """List the distinct captions that samples may have, the empty one included if it occurs.

        Of a caption whose tags are drawn, every form; if these are too many, see `draws_captions`,
        the one in which it is written.
        """
        dropped = [""] if self.caption_dropout > 0 else []
        every = [form for picture in self.pictures for form in self._forms_of(picture)]
        return list(dict.fromkeys(every + dropped))

    def _forms_of(self, picture: Picture, rules: CaptionRules | None = None) -> list[str]:
        """List the captions of a picture, in every form if these are few."""
        rules = rules or self.caption_rules
        return [
            form
            for caption in picture.captions
            for form in rules.forms(caption, _FEW_FORMS) or [rules.whole(caption)]
        ]

    def _rules_of(self, index: int) -> CaptionRules:
        """Give the rules for the caption of a sample."""
        return self.caption_rules

    def encode(
        self,
        encode: Encode,
        encoded: Encoded,
        device: torch.device | str = "cpu",
        positions: Sequence[int] | None = None,
    ) -> None:
        """Encode the parts of pictures that samples may show, unless that was done before.

        Each picture at its own size or, if there are any, at those of `beside`; mirrored too if
        samples may be.

        Args:
            encode: The VAE, see `encode_parts`.
            encoded: Where moments are looked up and kept.
            device: Where the VAE is.
            positions: Which of `pictures`; None is all.

        Raises:
            ValueError: If every sample is cropped anew, or see `encode_parts`.
        """
        if self.crop != "center" and not self.cached_views:
            raise ValueError("Expected crops that are known before, but each sample has its own.")
        positions = range(len(self.pictures)) if positions is None else positions
        count = len(positions) * max(len(self.beside), 1) * self._views
        encode_parts(self._parts(positions), count, encode, encoded, device)

    def encoded_bytes(self) -> int:
        """Estimate how many bytes `encode` makes of all pictures, by Stable Diffusion's VAE."""
        targets = self.beside or self._targets(self._known_resolution())
        pixels = sum(width * height for width, height in targets)
        times = len(self.pictures) if self.beside else 1
        return pixels * times * self._views // _PIXELS_A_BYTE

    def latent_keys(self, encoder: str) -> Iterator[bytes]:
        """Give the key of all that `encode` makes, see `latent_key`."""
        return (latent_key(part, encoder) for part in self._parts(range(len(self.pictures))))

    @property
    def _views(self) -> int:
        return self.cached_views or 1 + self.flip

    def _parts(self, positions: Iterable[int]) -> Iterator[Part]:
        """List the parts of pictures that samples may show."""
        for position in positions:
            picture = self.pictures[position]
            for target in self.beside or [self.target_of(position)]:
                if self.cached_views:
                    for view in range(self.cached_views):
                        box = self._crop_box(picture, target, (view, position))
                        flipped = self._is_flipped((view, position), position)
                        yield self._part(position, target, box, flipped)
                else:
                    box = self._crop_box(picture, target, (0, position))
                    for flipped in (False, True) if self._may_flip(position) else (False,):
                        yield self._part(position, target, box, flipped)

    def _part(self, position: int, target: Size, box: Box, flipped: bool) -> Part:
        picture = self.pictures[position]
        if not picture.sha256:  # drawn or composed, and never looked at
            digest = hashlib.sha256(picture.path.read_bytes()).hexdigest()
            picture = self.pictures[position] = replace(picture, sha256=digest)
        return Part(picture.path, picture.sha256, target, box, flipped)

    def _drawn_at(self, epoch: int, index: int, position: int) -> tuple[int, int]:
        """Say at which counters a sample's crop and flip are drawn: its own, or those of a view."""
        if not self.cached_views:
            return epoch, index
        return int(self._uniform(Stream.CROP, epoch, index, 2) * self.cached_views), position

    def _may_flip(self, position: int) -> bool:
        return self.flip

    def _is_flipped(self, drawn_at: tuple[int, int], position: int) -> bool:
        return self._may_flip(position) and self._uniform(Stream.FLIP, *drawn_at) < 0.5

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
            if self.buckets is None:  # without a look at sizes that nobody may know yet
                self._found = [(resolution, resolution)] * len(self.pictures)
            else:
                choose = bucket_chooser(self.buckets, resolution)
                self._found = [choose(picture.size) for picture in self.pictures]
            self._found_for = (resolution, len(self.pictures))
        return self._found

    def _crop_box(self, picture: Picture, target: Size, drawn_at: tuple[int, int]) -> Box:
        centered = self.crop == "center"
        across, down = (
            0.5 if centered else self._uniform(Stream.CROP, *drawn_at, axis) for axis in (0, 1)
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
