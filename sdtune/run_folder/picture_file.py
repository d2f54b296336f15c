"""Pictures as a run keeps them: PNG files of bytes, whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from PIL import Image, PngImagePlugin
from torch import Tensor

from sdtune.files.atomic_file import replaced_atomically

__all__ = ["from_bytes", "mark_lost", "read_png", "to_bytes", "write_png"]

_STRIPE = 8  # pixels


def to_bytes(images: Tensor) -> Tensor:
    """Round pictures to what a file holds; what is not a number becomes black.

    Args:
        images: (..., H, W) in [0, 1].

    Returns:
        (..., H, W) uint8 on the CPU.
    """
    levels = images.detach().float().nan_to_num(0.0).clamp(0.0, 1.0).mul(255).round()
    return levels.to("cpu", torch.uint8).contiguous()


def mark_lost(images: Tensor) -> tuple[Tensor, int]:
    """Put stripes in the place of pictures that hold what is not finite, so that nobody is misled.

    Args:
        images: (B, 3, H, W) in [0, 1], or not a number.

    Returns:
        The pictures, and how many of them are lost.
    """
    lost = ~images.isfinite().flatten(1).all(dim=1)  # (B, 3, H, W) -> (B,)
    if not lost.any():
        return images, 0
    height, width = (torch.arange(size, device=images.device) for size in images.shape[-2:])
    stripes = (height[:, None] + width) // _STRIPE % 2  # (H, W)
    return torch.where(lost[:, None, None, None], stripes.to(images), images), int(lost.sum())


def from_bytes(pixels: Tensor) -> Image.Image:
    """Make a picture of what `to_bytes` returned.

    Args:
        pixels: (3, H, W) uint8.
    """
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())  # -> (H, W, 3)


def read_png(path: Path) -> Image.Image:
    """Read a picture that `write_png` wrote, or somebody else in its name.

    Args:
        path: The file.

    Returns:
        The picture; the texts of its header are in `info`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no whole PNG.
    """
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(f"Expected a picture at {path}, but there is no such file.")
    try:
        # Pillow tells formats by content, and for some of them starts a program
        with Image.open(path, formats=("PNG",)) as picture:
            picture.load()
            return picture
    except Exception as error:  # a decoder meets a damaged file with almost any exception
        raise ValueError(f"Expected {path} to be a PNG, but it cannot be read: {error}") from error


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
