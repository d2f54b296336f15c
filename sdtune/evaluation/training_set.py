"""The training pictures that samples are compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import repeat
from pathlib import Path

import torch
from torch import Tensor

from sdtune.data.decoding import read_part
from sdtune.data.pictures import Picture
from sdtune.data.scan import scan_pictures
from sdtune.data.transforms import crop_box, to_pixel_values
from sdtune.run_folder.record import TrainingPictures

__all__ = ["TrainingSet"]

_PICTURES_AT_ONCE = 16


@dataclass(frozen=True)
class TrainingSet:
    """Pictures on disk, read a few at a time.

    Attributes:
        pictures: What is trained on.
        held_out: Pictures of the same kind that are not; they help to tell copies.

    Raises:
        ValueError: If there are fewer than two.
    """

    pictures: Sequence[Picture]
    held_out: Sequence[Picture] = ()

    def __post_init__(self) -> None:
        if len(self.pictures) < 2:
            where = f" in {self.pictures[0].path.parent}" if self.pictures else ""
            raise ValueError(
                "Expected at least two training pictures to compare samples with, but got "
                f"{len(self.pictures)}{where}: add pictures, or leave the evaluation out."
            )

    @classmethod
    def from_folder(cls, folder: str | Path) -> TrainingSet:
        """Read a folder of pictures; those without a caption have an empty one.

        Args:
            folder: The folder.

        Returns:
            Its pictures.

        Raises:
            ValueError: If there is no such folder, or there are fewer than two pictures.
        """
        captioned, _ = scan_pictures(folder)
        pictures, problems = scan_pictures(folder, caption="")
        if problems:
            raise ValueError(" ".join(problems))
        by_path = {each.path: each for each in captioned}
        return cls([by_path.get(each.path, each) for each in pictures])

    @property
    def folder(self) -> Path:
        """The folder that holds all pictures."""
        roots = {each.path.parents[len(Path(each.name).parts) - 1] for each in self.pictures}
        return roots.pop() if len(roots) == 1 else Path(os.path.commonpath(sorted(roots)))

    @property
    def names(self) -> list[str]:
        """The pictures' paths below `folder`."""
        folder = self.folder
        return [each.path.relative_to(folder).as_posix() for each in self.pictures]

    def describe(self) -> TrainingPictures:
        """Say for the record what is trained on."""
        digest = sha256()
        for name, picture in zip(self.names, self.pictures, strict=True):
            digest.update(name.encode())
            digest.update(sha256(picture.path.read_bytes()).digest())
        return TrainingPictures(str(self.folder), len(self.pictures), digest.hexdigest())

    def captioned(self, count: int) -> list[Picture]:
        """Choose pictures that have a caption, spread over the set.

        Args:
            count: How many at most.

        Returns:
            The pictures, in the order of the set; none if fewer than two have captions.
        """
        found = [each for each in self.pictures if each.caption]
        count = min(count, len(found))
        if count < 2:
            return []
        return [found[number * len(found) // count] for number in range(count)]

    @staticmethod
    def read(pictures: Sequence[Picture], resolution: int) -> Iterator[Tensor]:
        """Read pictures as a model sees them: resized to cover a square, and its middle.

        Args:
            pictures: Some of the pictures.
            resolution: Side of the square in pixels.

        Yields:
            (b, 3, resolution, resolution) in [0, 1], a few at a time.
        """
        target = (resolution, resolution)
        for first in range(0, len(pictures), _PICTURES_AT_ONCE):
            some = pictures[first:][:_PICTURES_AT_ONCE]
            paths = [each.path for each in some]
            boxes = [crop_box(each.size, target) for each in some]
            parts = map(read_part, paths, repeat(target), boxes)
            yield (torch.stack([to_pixel_values(each) for each in parts]) / 2 + 0.5).clamp(0.0, 1.0)
