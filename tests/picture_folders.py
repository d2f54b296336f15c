"""Small folders of captioned pictures, drawn for the tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["few_of_the_style", "make_picture_folder"]

_STYLE = Path(__file__).parents[1] / "datasets" / "style_openmoji"

_COLOURS = ("red", "green", "blue", "orange", "purple", "teal", "olive", "navy")


def make_picture_folder(folder: Path, count: int = 4, size: int = 64) -> Path:
    """Draw discs of different colours, with sidecar captions.

    Args:
        folder: Where to write; made if absent.
        count: Number of pictures, 8 at most.
        size: Width and height in pixels.

    Returns:
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, colour in enumerate(_COLOURS[:count]):
        picture = Image.new("RGB", (size, size), "white")
        margin = size // 8 + number
        ImageDraw.Draw(picture).ellipse((margin, margin, size - margin, size - margin), colour)
        picture.save(folder / f"disc_{number}.png")
        (folder / f"disc_{number}.txt").write_text(f"a {colour} disc", encoding="utf-8")
    return folder


def few_of_the_style(folder: Path, count: int = 12) -> Path:
    """Copy the first pictures and captions of the shipped style: all 122 take seconds to judge.

    Args:
        folder: Where to write; it does not exist.
        count: Number of pictures.

    Returns:
        The folder.
    """
    folder.mkdir()
    for picture in sorted(_STYLE.glob("*.png"))[:count]:
        shutil.copy(picture, folder)
        shutil.copy(picture.with_suffix(".txt"), folder)
    return folder
