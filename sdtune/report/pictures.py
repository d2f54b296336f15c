"""Pictures inside the page itself, small enough to send."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from sdtune.data.decoding import PictureError, read_picture
from sdtune.files.confined_path import lies_within

__all__ = ["Embedded", "embed", "embed_file"]

_PIXEL_ART = 128  # pixels: what is no larger is enlarged without blur, and kept without loss


@dataclass(frozen=True)
class Embedded:
    """A picture as a `data:` address.

    Attributes:
        source: The address.
        width: In pixels.
        height: In pixels.
    """

    source: str
    width: int
    height: int

    @property
    def is_small(self) -> bool:
        """Whether it is shown larger than it is, pixel by pixel."""
        return max(self.width, self.height) <= _PIXEL_ART


def embed(image: Image.Image, side: int = 512) -> Embedded:
    """Write a picture as WebP into an address.

    Args:
        image: Any picture.
        side: Pixels that neither side shall exceed; larger pictures are reduced.

    Returns:
        The picture.
    """
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    if max(image.size) <= _PIXEL_ART:
        image.save(data, format="WEBP", lossless=True, method=4)
    else:
        image.save(data, format="WEBP", quality=82, method=4)
    text = base64.b64encode(data.getvalue()).decode("ascii")
    return Embedded(f"data:image/webp;base64,{text}", *image.size)


def embed_file(path: Path, side: int = 512, within: Path | None = None) -> Embedded | None:
    """Read a picture and embed it.

    Args:
        path: The file.
        side: As in `embed`.
        within: The folder that it must lie in, links followed; None for anywhere.

    Returns:
        The picture; None if the file is gone, lies elsewhere or does not open.
    """
    if within is not None and not lies_within(path, within):
        return None
    try:
        return embed(read_picture(path), side)
    except PictureError:
        return None
