"""Pictures of two subjects side by side, composed once from pictures of each (Cut-Mix)."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from sdtune.data.class_pictures import opens
from sdtune.data.decoding import read_picture
from sdtune.data.transforms import crop_box, cut_out
from sdtune.files.atomic_file import replaced_atomically
from sdtune.functional.randomness import Stream, counter_uniform

__all__ = ["MixedPictures", "Mixture", "side_by_side"]

log = logging.getLogger(__name__)

# part of every name: raise it when pictures are composed or stored in another way
VERSION = 1


@dataclass(frozen=True)
class Mixture:
    """What a mixed picture is composed from.

    Args:
        prompt: What it shows: two subjects, from left to right.
        left: Pictures of the subject that stands left.
        right: Pictures of the one that stands right.
    """

    prompt: str
    left: Sequence[Path]
    right: Sequence[Path]


def side_by_side(
    left: np.ndarray, right: np.ndarray, positions: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Put two tiles into the halves of a square (Cut-Mix, Han et al. 2023, section 3.3).

    Each tile is whole. Above and below it, its first and last row go on to the square's edge, so
    that backgrounds continue (https://arxiv.org/abs/2303.11305).

    Args:
        left: (S/2, S/2, 3) uint8, the tile of the left half.
        right: (S/2, S/2, 3) uint8, the tile of the right half.
        positions: Where the left and the right tile lie in the room that is left, in [0, 1] from
            the top.

    Returns:
        (S, S, 3) uint8.
    """
    halves = []
    for tile, position in zip((left, right), positions, strict=True):
        room = len(tile)
        above = min(int(position * (room + 1)), room)
        halves.append(np.pad(tile, ((above, room - above), (0, 0), (0, 0)), mode="edge"))
    return np.concatenate(halves, axis=1)  # 2 x (S, S/2, 3) -> (S, S, 3)


class MixedPictures:
    """Composed pictures as PNG files, each a function of (seed, number) and what it is made of.

    The folder is named by all that they follow from. So a further run finds what an earlier one
    composed, and one that needs more adds those. A file that does not open counts as absent.

    Args:
        folder: Where such folders are; made when first written to.
        mixtures: What is composed: picture i is of mixture i, modulo their number.
        resolution: Side of a picture, in pixels, an even number.
        count: Number of pictures.
        seed: Seed of which pictures are taken and where they are put.
    """

    def __init__(
        self,
        folder: str | Path,
        mixtures: Sequence[Mixture],
        resolution: int,
        count: int,
        seed: int,
    ) -> None:
        digest = cache(lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
        parts = [
            [m.prompt, *([*map(digest, side)] for side in (m.left, m.right))] for m in mixtures
        ]
        key = json.dumps([VERSION, seed, resolution, parts])
        self.folder = Path(folder) / hashlib.sha256(key.encode()).hexdigest()
        self.paths = [self.folder / f"{number:06d}.png" for number in range(count)]
        self._mixtures = mixtures
        self._resolution = resolution
        self._seed = seed

    def missing(self) -> list[int]:
        """List the numbers of the pictures that are yet to be composed."""
        return [number for number, path in enumerate(self.paths) if not opens(path)]

    def make(self) -> None:
        """Compose what is missing; of several processes each may, for they write the same."""
        missing = self.missing()
        if not missing:
            return
        log.info("Composing pictures of two subjects into %s, once.", self.folder)
        tile = cache(lambda path: _tile(path, self._resolution // 2))
        for number in missing:
            mixture = self._mixtures[number % len(self._mixtures)]
            left, right = (
                tile(paths[int(self._uniform(number, side, 0) * len(paths))])
                for side, paths in enumerate((mixture.left, mixture.right))
            )
            positions = (self._uniform(number, 0, 1), self._uniform(number, 1, 1))
            picture = Image.fromarray(side_by_side(left, right, positions))
            with replaced_atomically(self.paths[number], synced=False) as temporary:
                picture.save(temporary, format="PNG")

    def _uniform(self, *counters: int) -> float:
        return counter_uniform(self._seed, Stream.MIXTURE, *counters)


def _tile(path: Path, side: int) -> np.ndarray:
    """Resize the centre square of a picture to (side, side, 3) uint8."""
    image = read_picture(path)
    target = (side, side)
    return np.array(cut_out(image, target, crop_box(image.size, target)))
