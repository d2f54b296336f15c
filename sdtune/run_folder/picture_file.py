"""Pictures as a run keeps them: PNG files of bytes, whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from sdtune.files.atomic_file import replaced_atomically

__all__ = ["from_bytes", "open_png", "to_bytes", "write_png"]


def to_bytes(images: Tensor) -> Tensor:
    """Round pictures to what a file holds; what is not a number becomes black.

    Args:
        images: (..., H, W) in [0, 1].

    Returns:
        (..., H, W) uint8 on the CPU.
    """
    levels = images.detach().float().nan_to_num(0.0).clamp(0.0, 1.0).mul(255).round()
    return levels.to("cpu", torch.uint8).contiguous()


def from_bytes(pixels: Tensor) -> Image.Image:
    """Make a picture of what `to_bytes` returned.

    Args:
        pixels: (3, H, W) uint8.
    """
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())  # -> (H, W, 3)


def open_png(path: Path) -> Image.Image:
    """Open a picture that `write_png` wrote, or somebody else in its name.

    Args:
        path: The file. Pillow tells formats by content: of any other, some run a program.

    Raises:
        OSError: If it is no file, or no PNG.
    """
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"Expected a picture at {path}, but there is no such file.")
    return Image.open(path, formats=("PNG",))


def write_png(path: Path, picture: Image.Image, texts: Mapping[str, str] | None = None) -> None:
    """Write a picture, in the place of what was there.

    Args:
        path: The file.
        picture: The picture.
        texts: Keyword -> text, for the file's header.
    """
    header = PngImagePlugin.PngInfo()
    for keyword, text in (texts or {}).items():
        header.add_text(keyword, text)
    with replaced_atomically(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=header)
