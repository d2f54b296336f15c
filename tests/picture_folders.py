"""Small folders of captioned pictures, drawn for the tests."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

__all__ = ["make_picture_folder"]

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
