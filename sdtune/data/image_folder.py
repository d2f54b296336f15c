"""Find the pictures of a folder and read any of them as 8-bit RGB."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

__all__ = [
    "IMAGE_SUFFIXES",
    "PictureError",
    "find_files",
    "find_pictures",
    "picture_size",
    "read_picture",
]

# HEIC is listed so that phone photos are reported as unreadable and not passed over in silence
IMAGE_SUFFIXES = frozenset(
    {
        ".avif",
        ".bmp",
        ".gif",
        ".heic",
        ".heif",
        ".jfif",
        ".jpeg",
        ".jpg",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    }
)


class PictureError(ValueError):
    """A picture that cannot be read.

    Args:
        path: The picture.
        reason: Why, as the end of the sentence "does not open: …".
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: does not open: {reason}.")


def find_files(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    """List the files below a folder that end in one of some suffixes.

    Args:
        folder: Where to look, at any depth.
        suffixes: Lower-case suffixes with their dot; upper-case files match too.

    Returns:
        Sorted paths. Hidden files and everything in hidden folders or `__MACOSX` are left out.
    """
    wanted = frozenset(suffixes)
    return sorted(path for path in _walk(folder) if path.suffix.lower() in wanted)


def find_pictures(folder: Path) -> list[Path]:
    """List the pictures below a folder, sorted; see `find_files`."""
    return find_files(folder, IMAGE_SUFFIXES)


def read_picture(path: Path) -> Image.Image:
    """Read a picture as it is meant to be seen.

    EXIF rotation is applied, transparency is laid over white, palette, grey, CMYK and 16-bit
    pictures are converted, and of an animation the first frame is taken.

    Args:
        path: The picture.

    Returns:
        An 8-bit RGB picture, fully decoded.

    Raises:
        PictureError: If the file is missing, empty, cut off or not a picture.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # a decoder meets a damaged file with almost any exception
        raise PictureError(path, _reason(path, error)) from error


def picture_size(path: Path) -> tuple[int, int]:
    """Measure a picture by decoding all of it, once per version of the file.

    Args:
        path: The picture.

    Returns:
        Width and height in pixels, after EXIF rotation.

    Raises:
        PictureError: If the picture does not open.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise PictureError(path, _reason(path, error)) from error
    return _picture_size(path.absolute(), status.st_mtime_ns, status.st_size)


@cache
def _picture_size(path: Path, _modified: int, _bytes: int) -> tuple[int, int]:
    return read_picture(path).size


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name[0] != "." and name != "__MACOSX"]
        yield from (Path(parent, name) for name in names if name[0] != ".")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        # a plain convert("L") clips at 255 and would turn 16-bit greys white
        image = image.convert("I").point(lambda value: value / 257).convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return (
            "it is empty" if path.stat().st_size == 0 else "it is not a picture that Pillow knows"
        )
    return str(error).strip().rstrip(".") or type(error).__name__
