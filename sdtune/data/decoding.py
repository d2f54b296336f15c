"""Read any picture as it is meant to be seen, as 8-bit sRGB, in bounded time and memory."""

from __future__ import annotations

import io
import logging
import math
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from sdtune._imports import HEIF_AVAILABLE, JXL_AVAILABLE
from sdtune.data.orientation import is_sideways, orientation_of, upright
from sdtune.data.transforms import Box, cut_out
from sdtune.files.regular_file import check_file

__all__ = [
    "IMAGE_SUFFIXES",
    "PictureError",
    "header_size",
    "read_alpha",
    "read_mask",
    "read_part",
    "read_picture",
]

log = logging.getLogger(__name__)

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
        ".jxl",
        ".png",
        ".tif",
        ".tiff",
        ".webp",
    }
)
"""Files that end so are pictures; one that cannot be read is told and not passed over."""

# Pillow tells formats by content: an EPS that is named .png would start Ghostscript
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF", "JXL")

# a scan of 13,000 x 13,000 is a picture; 30,000 x 30,000 takes 2.7 GB and is none to train on
_MAX_PIXELS = 180_000_000

# levels of 255: primaries that are rounded move sRGB by 1, a gamma of 2.2 moves it by 9
_SRGB_WITHIN = 3

_PNG_BITS = 24  # bytes before that which says how many bits a channel has
_TIFF_SIDES = (256, 257)
_TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
_NO_PICTURE = "it is not a picture in a format that is read here"
_PLUGINS = {
    ".heic": (HEIF_AVAILABLE, "pillow-heif"),
    ".heif": (HEIF_AVAILABLE, "pillow-heif"),
    ".jxl": (JXL_AVAILABLE, "pillow-jxl-plugin"),
}


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


def header_size(path: Path) -> tuple[int, int]:
    """Measure a picture by its header, without decoding it.

    Args:
        path: The picture.

    Returns:
        Width and height in pixels, turned as `orientation_of` says.

    Raises:
        PictureError: If the file is no picture that is read here, or too large.
    """
    with _opened(path) as image:
        width, height = image.size
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # some Pillows have turned it already
            width, height = (image.tag_v2[tag] for tag in _TIFF_SIDES)
        return (height, width) if is_sideways(orientation_of(path, image)) else (width, height)


def read_picture(path: Path) -> Image.Image:
    """Read a picture as it is meant to be seen.

    It is turned as its EXIF or XMP say, colours are converted from the embedded profile to sRGB,
    transparency is laid over white, palette, grey, CMYK and 16-bit pictures are converted, and of
    an animation the first frame is taken.

    Args:
        path: The picture.

    Returns:
        An 8-bit RGB picture, fully decoded.

    Raises:
        PictureError: If the file is missing, empty, cut off, too large or not a picture.
    """
    with _opened(path) as image:
        return _to_rgb(_decoded(path, image), path)


def read_part(path: Path, target: tuple[int, int], box: Box) -> Image.Image:
    """Cut a box out of a picture and resize it with an antialiased Lanczos filter.

    A JPEG that is much larger is decoded at a half, a quarter or an eighth of its size, still at
    least three times the target: most of the time that a photo takes is saved, and pixels differ
    by 1 or 2 of 255 in the mean.

    Args:
        path: The picture.
        target: Width and height of the result, in pixels.
        box: Left, top, right and bottom, in the pixels of the whole picture; see `crop_box`.

    Returns:
        An 8-bit RGB picture of the target's size.

    Raises:
        PictureError: As in `read_picture`.
    """
    with _opened(path) as image:
        across, down = _draft(path, image, target, box)
        picture = _to_rgb(_decoded(path, image), path)
    left, top, right, bottom = box
    width, height = picture.size
    scaled = (left * across, top * down, min(right * across, width), min(bottom * down, height))
    return cut_out(picture, target, scaled)


def read_mask(path: Path) -> Image.Image:
    """Read a mask: white is what counts.

    Transparent places are black, and one of the levels 0 and 1 alone is black and white. Levels up
    to 255 are those of 8 bits, however many they are stored in: labels are often saved as 16 bits.

    Args:
        path: The mask.

    Returns:
        An 8-bit grey picture.

    Raises:
        PictureError: As in `read_picture`.
    """
    with _opened(path) as image:
        mask = _decoded(path, image, is_mask=True)
        if mask.has_transparency_data:
            mask = mask.convert("RGBA")
            mask = Image.alpha_composite(Image.new("RGBA", mask.size, "black"), mask)
        mask = mask.convert("L")
        return mask.point(lambda level: 255 * level) if mask.getextrema()[1] == 1 else mask


def read_alpha(path: Path) -> Image.Image | None:
    """Read how opaque a picture is.

    Args:
        path: The picture.

    Returns:
        An 8-bit grey picture, white where it is opaque; None if nothing says that it is not.

    Raises:
        PictureError: As in `read_picture`.
    """
    with _opened(path) as image:
        if not image.has_transparency_data:
            return None
        return _decoded(path, image).convert("RGBA").getchannel("A")


def _draft(
    path: Path, image: Image.Image, target: tuple[int, int], box: Box
) -> tuple[float, float]:
    """Tell a JPEG's decoder how small it may come out; return what that does to either side."""
    scale = 3.0 * max(target[0] / (box[2] - box[0]), target[1] / (box[3] - box[1]))
    if scale >= 1.0 or image.format not in ("JPEG", "MPO"):
        return 1.0, 1.0
    width, height = image.size
    image.draft(None, (math.ceil(width * scale), math.ceil(height * scale)))
    drafted = image.size[0] / width, image.size[1] / height
    return drafted[::-1] if is_sideways(orientation_of(path, image)) else drafted


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture of a format that is read here; say what is wrong in a `PictureError`."""
    try:
        check_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            # opened by the path itself, which may be one within an archive
            with path.open("rb") as file, Image.open(file, formats=_formats()) as image:
                _check_pixels(path, image.size)
                yield image
    except PictureError:
        raise
    except Exception as error:  # a decoder meets a damaged file with almost any exception
        raise PictureError(path, _reason(path, error)) from error


@cache
def _formats() -> list[str]:
    Image.init()
    if HEIF_AVAILABLE:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    if JXL_AVAILABLE:
        import pillow_jxl  # noqa: F401  # registers itself
    return [name for name in _FORMATS if name in Image.OPEN]


def _check_pixels(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > _MAX_PIXELS:
        raise PictureError(
            path, f"it is {width}x{height} pixels, more than {_MAX_PIXELS / 1e6:.0f} million"
        )


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    profile = image.info.get("icc_profile")
    if image.mode in ("P", "PA", "1"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    if image.has_transparency_data and image.mode not in ("RGBA", "LA"):
        image = image.convert("RGBA")  # one colour is said to be transparent
    if image.mode not in ("RGBA", "LA"):
        return _to_srgb(image, profile, path)
    seen = _to_srgb(image.convert(image.mode[:-1]), profile, path)
    seen.putalpha(image.getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", seen.size, "white"), seen).convert("RGB")


def _decoded(path: Path, image: Image.Image, *, is_mask: bool = False) -> Image.Image:
    """Decode a picture, turn it, and make 8 bits of greys of 16, as `_to_eight_bits` says."""
    is_negative = (
        isinstance(image, TiffImagePlugin.TiffImageFile)
        and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO
    )
    picture = upright(path, image)
    if picture.mode.startswith("I"):
        return _to_eight_bits(picture, is_mask, is_negative)
    clear = picture.info.get("transparency")
    bits = _png_bits(path) if picture.mode in ("L", "RGB") and clear is not None else 0
    # Pillow makes 8 bits of levels, and leaves the one that is transparent as it stands there
    if bits == 16 and isinstance(clear, tuple):
        picture.info["transparency"] = tuple(level >> 8 for level in clear)
    elif bits in (2, 4) and isinstance(clear, int):
        picture.info["transparency"] = clear * 255 // (2**bits - 1)
    return picture


def _png_bits(path: Path) -> int:
    """Read how many bits a channel of a PNG has; 0 of another picture."""
    with path.open("rb") as file:
        header = file.read(_PNG_BITS + 1)
    return header[_PNG_BITS] if header[12:16] == b"IHDR" else 0


def _to_eight_bits(image: Image.Image, is_mask: bool, is_negative: bool) -> Image.Image:
    """Scale greys of up to 16 bits, by as many bits as the largest of them needs.

    Cameras, scanners and programs store 8, 10, 12 or 14 bits in 16 and few writers say so. Where
    the largest is one of 128 to 255 it is read as of 8 bits: as one of 16 it would be black to
    any eye. Where it is below, all are read as of 10: the picture is dark, and stays dark. Not so
    a mask, whose levels are labels: 0 and 1 are black and white, and all below 256 are of 8 bits.

    Args:
        image: The picture; the one level that it says is transparent becomes its transparency.
        is_mask: Whether it is a mask.
        is_negative: Whether 0 is white, as Pillow leaves it.

    Returns:
        8-bit greys with the picture's profile, and with transparency if there is any.
    """
    levels = np.asarray(image.convert("I"))
    largest = int(levels.max(initial=0))
    usual = (1, 8, 10, 12, 14) if is_mask else (8, 10, 12, 14)[largest < 128 :]
    bits = next((bits for bits in usual if largest < 2**bits), 16)
    shades = levels * (255.0 / (2**bits - 1))
    greys = Image.fromarray(_clipped((255 - shades if is_negative else shades) + 0.5))
    clear = image.info.get("transparency")
    greys.info = {name: value for name, value in image.info.items() if name == "icc_profile"}
    if clear is not None:
        greys.putalpha(Image.fromarray(_clipped(255 * (levels != clear))))
    return greys


def _clipped(levels: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def _to_srgb(image: Image.Image, profile: bytes | None, path: Path) -> Image.Image:
    if profile:
        try:
            transform = _transform(profile, image.mode)
            if transform is not None:
                return transform.apply(image)
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            log.warning(
                "%s: its colour profile cannot be used (%s); its colours are taken for sRGB.",
                path, str(error).strip(),
            )  # fmt: skip
    return image.convert("RGB")


@lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Make the conversion from a profile to sRGB; None if that is what it is, or grey as usual."""
    found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    is_called_so = "srgb" in ImageCms.getProfileDescription(found).lower().replace(" ", "")
    return None if is_called_so and _acts_as_srgb(found) else _conversion(found, mode)


def _acts_as_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Tell whether a profile leaves levels where they are.

    Others are called sRGB too: linear ones, and those of wider spaces with its curve.
    """
    mode = {"RGB": "RGB", "GRAY": "L"}.get(profile.profile.xcolor_space.strip())
    if mode is None:
        return False
    alone = np.array([[1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.uint8)
    ramps = alone[:, None] * np.arange(256, dtype=np.uint8)[:, None]  # (4, 256, 3): grey, R, G, B
    found = _conversion(profile, mode).apply(Image.fromarray(ramps).convert(mode))
    seen = np.asarray(Image.fromarray(ramps).convert(mode).convert("RGB"), np.int16)
    return bool(np.abs(np.asarray(found, np.int16) - seen).max() <= _SRGB_WITHIN)


def _conversion(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.ImageCmsTransform(
        profile,
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
        mode,
        "RGB",
        ImageCms.Intent(ImageCms.getDefaultIntent(profile)),
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(path)
    if isinstance(error, Image.DecompressionBombError):
        return f"it is larger than {_MAX_PIXELS / 1e6:.0f} million pixels"
    if isinstance(error, struct.error):
        return "its header is damaged"
    return str(error).strip().rstrip(".") or type(error).__name__


def _unidentified(path: Path) -> str:
    if path.stat().st_size == 0:
        return "it is empty"
    is_there, package = _PLUGINS.get(path.suffix.lower(), (True, ""))
    if not is_there:
        return f"pictures of this kind need a plug-in: pip install {package}"
    return _NO_PICTURE
