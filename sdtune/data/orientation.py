"""How a picture is to be turned, said once for its header, its decoder and its pixels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

from PIL import Image, TiffImagePlugin
from PIL.PngImagePlugin import PngStream

__all__ = ["is_sideways", "orientation_of", "upright"]

_ORIENTATION = 0x0112
_SIDEWAYS = (5, 6, 7, 8)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_SIGNATURE = 8  # bytes
_PNG_SAYING = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")


def orientation_of(path: Path, image: Image.Image) -> int:
    """Read how a picture is to be turned, without decoding it.

    As Pillow reads it: EXIF, or ImageMagick's text of it in a PNG; else `tiff:Orientation` in XMP.

    Args:
        path: The picture.
        image: The same, opened.

    Returns:
        EXIF's number, 1 to 8; 1 if nothing is said. Numbers beyond mean nothing, as 1.
    """
    told = image
    if image.format == "PNG":
        # Pillow would decode the pixels to see what stands behind them
        told = Image.new("1", (1, 1))
        told.info = _png_info(path)
    return int(told.getexif().get(_ORIENTATION) or 1)


def is_sideways(orientation: int) -> bool:
    """Tell whether an orientation exchanges width and height.

    Args:
        orientation: See `orientation_of`.
    """
    return orientation in _SIDEWAYS


def upright(path: Path, image: Image.Image) -> Image.Image:
    """Decode a picture and turn it as `orientation_of` says.

    Args:
        path: The picture.
        image: The same, opened.

    Returns:
        The picture as it is meant to be seen; `image` itself if there is nothing to turn.
    """
    orientation = orientation_of(path, image)
    image.load()
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        # some Pillows turn it when they decode it, and then say no more that it is to be turned
        orientation = orientation_of(path, image)
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _png_info(path: Path) -> dict[Any, Any]:
    """Read all that a PNG says of itself in words; pixels are jumped over."""
    with path.open("rb") as file:
        file.seek(_PNG_SIGNATURE)
        stream = PngStream(file)
        while True:
            try:
                name, start, length = stream.read()
            except (SyntaxError, struct.error):  # it is cut off, or something else begins
                break
            if name == b"IEND":
                break
            if name in _PNG_SAYING:
                stream.call(name, start, length)
            file.seek(start + length + 4)  # and the checksum
    return dict(stream.im_info)
