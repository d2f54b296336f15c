"""The training pictures that samples are compared with."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import repeat
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from sdtune.data.buckets import Size
from sdtune.data.decoding import read_part
from sdtune.data.pictures import Picture
from sdtune.data.problems import OnProblem
from sdtune.data.same_name import one_form
from sdtune.data.scan import scan_folder
from sdtune.data.sources.locations import Location, plain_location
from sdtune.data.transforms import crop_box, share_kept, to_pixel_values
from sdtune.files.line_list import cut_list
from sdtune.files.printable_text import encodable
from sdtune.run_folder.record import TrainingPictures

__all__ = ["TrainingSet"]

_PICTURES_AT_ONCE = 16


@dataclass(frozen=True)
class TrainingSet:
    """Pictures on disk, read a few at a time.

    Attributes:
        pictures: What is trained on.
        held_out: Pictures of the same kind that are not; they help to tell copies.
        location: Where they were read from and how: the arguments of `from_folder`. Empty if that
            is not known.

    Raises:
        ValueError: If there are fewer than two.
    """

    pictures: Sequence[Picture]
    held_out: Sequence[Picture] = ()
    location: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.pictures) < 2:
            where = f" in {self.pictures[0].path.parent}" if self.pictures else ""
            raise ValueError(
                "Expected at least two training pictures to compare samples with, but got "
                f"{len(self.pictures)}{where}: add pictures, or leave the evaluation out."
            )

    @classmethod
    def of(cls, data: object) -> TrainingSet:
        """Take the pictures of a data module.

        Args:
            data: The data module, set up.

        Raises:
            ValueError: If it has none, or fewer than two.
        """
        own, held_out = _pictures(data, "train_dataset"), _pictures(data, "val_dataset")
        return cls(own, held_out, getattr(data, "location", {}))

    @classmethod
    def from_folder(
        cls,
        folder: Location,
        source: str | None = None,
        caption_column: str | None = None,
        image_column: str | None = None,
        on_problem: OnProblem = "error",
        held_out: Collection[str] = (),
    ) -> TrainingSet:
        """Read pictures; those without a caption have an empty one.

        Args:
            folder: The folder, another location that a source knows, or several and their repeats;
                see `scan_folder`.
            source: Name of the source that reads it; None looks what it is.
            caption_column: Where tables and metadata hold captions; None finds it.
            image_column: Where tables hold pictures; None finds it.
            on_problem: With "skip", what was left out of training is left out here.
            held_out: Names of the pictures that were held out of training, as records have them.

        Returns:
            Its pictures.

        Raises:
            ValueError: If there is no such folder, or there are fewer than two pictures.
        """
        how: dict[str, Any] = {
            "source": source,
            "caption_column": caption_column,
            "image_column": image_column,
        }
        if on_problem == "skip":
            how["on_problem"] = on_problem
        captioned = scan_folder(folder, **how).pictures
        scan = scan_folder(folder, caption="", **how)
        if scan.problems:
            raise ValueError(" ".join(cut_list(list(map(str, scan.problems)))))
        if on_problem == "skip" and captioned:
            pictures = list(captioned)
        else:
            by_name = {each.name: each for each in captioned}
            pictures = [by_name.get(each.name, each) for each in scan.pictures]
        left_out = {one_form(each) for each in held_out}  # what was copied may be called anew
        is_held_out = [one_form(encodable(each.name)) in left_out for each in pictures]
        return cls(
            [each for each, is_out in zip(pictures, is_held_out, strict=True) if not is_out],
            [each for each, is_out in zip(pictures, is_held_out, strict=True) if is_out],
            {"folder": plain_location(folder), **how},
        )

    @property
    def folder(self) -> Path:
        """The folder that holds all pictures."""
        roots = {_root(each) for each in self.pictures}
        if len(roots) == 1:
            return roots.pop()
        if len({root.is_absolute() for root in roots}) > 1:
            roots = {root.absolute() for root in roots}
        return Path(os.path.commonpath(sorted(roots)))

    @property
    def names(self) -> list[str]:
        """The pictures' paths below `folder`."""
        folder = self.folder
        return [Path(os.path.relpath(each.path, folder)).as_posix() for each in self.pictures]

    def describe(self) -> TrainingPictures:
        """Say for the record what is trained on."""
        digest = sha256()
        for name, known in zip(self.names, self.hashes(self.pictures), strict=True):
            digest.update(name.encode(errors="surrogateescape"))
            digest.update(bytes.fromhex(known))
        read_from = self.location.get("folder")
        folder = str(Path(read_from)) if isinstance(read_from, str) else str(self.folder)
        given = {name: value for name, value in self.location.items() if value is not None}
        reading = given if given.keys() - {"folder"} or isinstance(read_from, dict) else None
        names = sorted(encodable(each.name) for each in self.held_out)
        return TrainingPictures(
            folder, len(self.pictures), digest.hexdigest(), reading, held_out=names
        )

    def kept(self, size: Size) -> float:
        """Say what samples are compared with.

        Args:
            size: Width and height of the samples, in pixels.

        Returns:
            The mean share of a picture's pixels that `read` leaves, in (0, 1].
        """
        shares = [share_kept(each.size, size) for each in self.pictures]
        return sum(shares) / len(shares)

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
    def hashes(pictures: Sequence[Picture]) -> list[str]:
        """Give the SHA-256 of each picture's file, in hexadecimal."""
        return [each.sha256 or sha256(each.path.read_bytes()).hexdigest() for each in pictures]

    @staticmethod
    def read(pictures: Sequence[Picture], size: Size) -> Iterator[Tensor]:
        """Read pictures in the shape of samples: resized to cover it, and their middle.

        Args:
            pictures: Some of the pictures.
            size: Width and height of the samples, in pixels.

        Yields:
            (b, 3, height, width) in [0, 1], a few at a time.
        """
        for first in range(0, len(pictures), _PICTURES_AT_ONCE):
            some = pictures[first:][:_PICTURES_AT_ONCE]
            paths = [each.path for each in some]
            boxes = [crop_box(each.size, size) for each in some]
            parts = map(read_part, paths, repeat(size), boxes)
            yield (torch.stack([to_pixel_values(each) for each in parts]) / 2 + 0.5).clamp(0.0, 1.0)


def _root(picture: Picture) -> Path:
    """Find the folder that a picture's name is relative to."""
    levels = len(Path(picture.name).parts)
    path = picture.path if levels <= len(picture.path.parents) else picture.path.absolute()
    return path.parents[levels - 1]


def _pictures(data: object, name: str) -> Sequence[Picture]:
    dataset = getattr(data, name, None)
    if dataset is None:
        raise ValueError(
            "Expected a data module with training pictures, such as sdtune.StyleDataModule, to "
            f"compare samples with, but {type(data).__name__} has no `{name}`."
        )
    # what is mixed from the user's pictures shows no subject as it is
    return cast(Sequence[Picture], getattr(dataset, "originals", dataset.pictures))
