"""Pictures of a class, drawn once by the untuned base and kept under a name that says by what."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from sdtune.data.decoding import PictureError
from sdtune.data.image_folder import check_picture
from sdtune.files.atomic_file import remove_leftovers, replaced_atomically

__all__ = ["FIRST_SEED", "ClassPictures", "Draw", "opens"]

log = logging.getLogger(__name__)

Draw = Callable[[Sequence[str], Sequence[int]], Tensor]

# part of every name: raise it when pictures are drawn or stored in another way
VERSION = 2  # 2: named by all that the base computes with, and not by its weights alone

# far from the seeds that people sample with: what is measured on a class prompt shall not be
# what was trained on
FIRST_SEED = 1_000_000

# drawn together and, after an interruption, drawn together again: a picture's last bits depend on
# the size of its batch, and shall not depend on where an earlier run was stopped
_AT_ONCE = 8


class ClassPictures:
    """Pictures of a class as PNG files, one for each seed.

    The folder is named by the drawer and the prompts, and a file by its number, which its seed
    follows from. So a further run finds what an earlier one drew, one that needs more draws only
    those, and an interrupted one goes on. A file that does not open counts as absent.

    Args:
        folder: Where such folders are; made when first written to.
        prompts: What is drawn: picture i shows prompt i, modulo their number.
        drawer: What draws: the base's identity, the sampler's settings, the size.
        count: Number of pictures.
    """

    def __init__(self, folder: str | Path, prompts: Sequence[str], drawer: str, count: int) -> None:
        key = json.dumps([VERSION, drawer, FIRST_SEED, list(prompts)])
        self.folder = Path(folder) / hashlib.sha256(key.encode()).hexdigest()
        self.prompts = [prompts[number % len(prompts)] for number in range(count)]
        self.paths = [self.folder / f"{number:06d}.png" for number in range(count)]

    def missing(self) -> list[int]:
        """List the numbers of the pictures that are yet to be drawn."""
        return [number for number, path in enumerate(self.paths) if not opens(path)]

    def make(self, draw: Draw, rank: int = 0, processes: int = 1) -> None:
        """Draw what is missing.

        Args:
            draw: Texts and seeds, B each, to pictures (B, 3, H, W) in [0, 1].
            rank: Which of the processes that share the work this is.
            processes: How many there are.

        Raises:
            ValueError: If a picture holds a number that is not finite.
        """
        remove_leftovers(self.folder)
        groups = sorted({number // _AT_ONCE for number in self.missing()})[rank::processes]
        if not groups:
            return
        log.info("Drawing pictures of the class into %s, once.", self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        for group in groups:
            numbers = range(len(self.paths))[group * _AT_ONCE : (group + 1) * _AT_ONCE]
            self._write(numbers, draw)

    def _write(self, numbers: Iterable[int], draw: Draw) -> None:
        numbers = list(numbers)
        pictures = draw(
            [self.prompts[number] for number in numbers],
            [FIRST_SEED + number for number in numbers],
        )
        if not pictures.isfinite().all():
            raise ValueError(
                "Expected finite pictures of the class, but the base drew NaN or infinity: use "
                "`trainer.precision` 32-true or bf16-mixed."
            )
        for number, picture in zip(numbers, pictures, strict=True):
            if not opens(self.paths[number]):
                with replaced_atomically(self.paths[number], synced=False) as temporary:
                    _to_image(picture).save(temporary, format="PNG")


def opens(path: Path) -> bool:
    """Tell whether a picture is there and whole."""
    try:
        check_picture(path)
    except PictureError:
        return False
    return True


def _to_image(picture: Tensor) -> Image.Image:
    levels = (picture.detach().float().cpu() * 255).round().clamp(0, 255).byte()
    pixels = levels.permute(1, 2, 0).contiguous().numpy()  # (3, H, W) -> (H, W, 3)
    return Image.fromarray(pixels)
