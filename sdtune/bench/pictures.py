"""Sets of pictures of any size: a few of noise, and links to them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["make_pictures"]

_FILES = 64  # different pictures; all others are links to these
_IN_A_FOLDER = 1_000


def make_pictures(folder: Path, count: int, side: int, caption: str = "cat number {}") -> Path:
    """Write pictures of smooth noise, with a caption each in one `metadata.jsonl`.

    Args:
        folder: Where; made if absent.
        count: How many; beyond 64 they are further names of these files.
        side: Pixels.
        caption: What is said of each; `{}` stands for its number, modulo 64.

    Returns:
        The folder.
    """
    (folder / "00000").mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    files: list[Path] = []
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as metadata:
        for number in range(count):
            name = f"{number // _IN_A_FOLDER:05d}/{number:07d}.png"
            if number < _FILES:
                files.append(folder / name)
                _noise(generator, side).save(files[-1])
            else:
                (folder / name).parent.mkdir(exist_ok=True)
                os.link(files[number % _FILES], folder / name)
            line = {"file_name": name, "text": caption.format(number % _FILES)}
            metadata.write(json.dumps(line) + "\n")
    return folder


def _noise(generator: np.random.Generator, side: int) -> Image.Image:
    coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
