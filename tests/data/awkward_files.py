"""Files as people have them, each with what is to become of it."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

__all__ = ["AWKWARD", "Awkward", "make_awkward_files"]

_LEFT, _RIGHT = (200, 40, 40), (40, 40, 200)
_RED, _WHITE = (200, 40, 40), (255, 255, 255)
_SIZE = (48, 32)
_TURNED = (32, 48)


class Awkward(NamedTuple):
    """A file.

    Attributes:
        name: What it is called.
        make: Writes it.
        size: Width and height as it is seen; None if it is refused or passed over.
        pixel: Its upper left corner, to within 12 of 255.
        problem: What is said of it, if it is refused; None if nothing is.
    """

    name: str
    make: Callable[[Path], object]
    size: tuple[int, int] | None = _SIZE
    pixel: tuple[int, int, int] = _LEFT
    problem: str | None = None


def make_awkward_files(folder: Path) -> None:
    """Write all of them into a folder, with a caption for each that is listed."""
    (folder.parent / "elsewhere").mkdir(parents=True)
    _picture().save(folder.parent / "elsewhere" / "x.png")
    folder.mkdir()
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as metadata:
        for each in AWKWARD:
            each.make(folder / each.name)
            if each.size is not None or each.problem is not None:
                row = {"file_name": each.name, "text": f"what {each.name} shows"}
                metadata.write(json.dumps(row) + "\n")


def _picture(mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", _SIZE, _LEFT)
    image.paste(_RIGHT, (24, 0, 48, 32))
    return image.convert(mode)


def _saved(mode: str = "RGB", format: str | None = None, **options: Any) -> Callable[[Path], None]:
    return lambda path: _picture(mode).save(path, format=format, **options)


def _written(content: bytes) -> Callable[[Path], None]:
    return lambda path: Path.write_bytes(path, content) and None


def _encoded(format: str, mode: str = "RGB", **options: Any) -> bytes:
    data = io.BytesIO()
    _picture(mode).save(data, format=format, **options)
    return data.getvalue()


def _oriented(orientation: int, **options: Any) -> Callable[[Path], None]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return _saved(exif=exif, **options)


def _array(levels: Any, kind: Any, format: str | None = None) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        values = np.zeros((32, 48), kind)
        values[:, :] = np.linspace(*levels, 48)
        Image.fromarray(values).save(path, format=format)

    return make


def _animated(**options: Any) -> Callable[[Path], None]:
    return _saved(save_all=True, append_images=[Image.new("RGB", _SIZE, "green")], **options)


def _see_through(mode: str, **options: Any) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        image = _picture("RGBA")
        image.putalpha(0)
        image.convert(mode).save(path, **options)

    return make


def _one_colour_transparent(path: Path) -> None:
    image = Image.new("P", _SIZE, 0)
    image.putpalette([*_LEFT, *_RIGHT])
    image.save(path, transparency=0)


def _exif_behind_pixels(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data, content = exif.tobytes().removeprefix(b"Exif\0\0"), _encoded("PNG")
    end = content.rindex(b"IEND") - 4
    path.write_bytes(content[:end] + _chunk(b"eXIf", data) + content[end:])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _huge(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + struct.pack(">I", 9) + b"IDAT"


def _text_bomb(path: Path) -> None:
    content = _encoded("PNG")
    text = b"comment\0\0" + zlib.compress(b"\0" * 200_000_000, level=1)
    path.write_bytes(content[:33] + _chunk(b"zTXt", text) + content[33:])


_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_NO_PICTURE = "it is not a picture in a format that is read here"
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n"
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
_LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
_PAGE = b"<!doctype html><title>404</title>"


def _refused(name: str, content: bytes, problem: str = _NO_PICTURE) -> Awkward:
    return Awkward(name, _written(content), None, problem=problem)


def _unseen(name: str, make: Callable[[Path], object]) -> Awkward:
    return Awkward(name, make, None)


AWKWARD = [
    Awkward("plain.png", _saved()),
    Awkward("CAPITALS.PNG", _saved(format="PNG")),
    Awkward("a name, with spaces (1).png", _saved()),
    Awkward("\u00c4rger \u65e5\u672c \U0001f98a.png", _saved()),
    Awkward("two.dots.in.it.png", _saved()),
    Awkward("-starts-with-a-dash.png", _saved()),
    Awkward("n" * 240 + ".png", _saved()),
    Awkward("see_through.png", _see_through("RGBA"), pixel=_WHITE),
    Awkward("see_through_grey.png", _see_through("LA"), pixel=_WHITE),
    Awkward("one_colour_see_through.png", _one_colour_transparent, pixel=_WHITE),
    Awkward("palette.png", _saved("P")),
    Awkward("grey.png", _saved("L"), pixel=(88, 88, 88)),
    Awkward("two_levels.png", _saved("1"), pixel=(0, 0, 0)),
    Awkward("sixteen_bits.png", _array((65535, 0), np.uint16), pixel=_WHITE),
    Awkward("twelve_bits.png", _array((4095, 0), np.uint16), pixel=_WHITE),
    Awkward("animated.png", _animated()),
    Awkward("turned.png", _oriented(6), _TURNED),
    Awkward("turned_behind_pixels.png", _exif_behind_pixels, _TURNED),
    Awkward("srgb.png", _saved(icc_profile=_SRGB)),
    Awkward("broken_profile.png", _saved(icc_profile=b"no profile")),
    Awkward("is_a_jpeg.png", _written(_encoded("JPEG", quality=95))),
    Awkward("is_a_png.jpg", _written(_encoded("PNG"))),
    Awkward("is_a_webp.jpeg", _written(_encoded("WEBP", lossless=True))),
    Awkward("plain.jpg", _saved(quality=95)),
    Awkward("progressive.jpg", _saved(quality=95, progressive=True)),
    Awkward("grey.jpg", _saved("L", quality=95), pixel=(88, 88, 88)),
    Awkward("print_colours.jpg", _saved("CMYK", quality=95)),
    Awkward("upside_down.jpg", _oriented(3, quality=95), pixel=_RIGHT),
    Awkward("turned_right.jpg", _oriented(6, quality=95), _TURNED),
    Awkward("turned_left.jpg", _oriented(8, quality=95), _TURNED, _RIGHT),
    Awkward("mirrored.jpg", _oriented(2, quality=95), pixel=_RIGHT),
    Awkward("orientation_9.jpg", _oriented(9, quality=95)),
    Awkward("broken_exif.jpg", _saved(quality=95, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")),
    Awkward("more_behind.jpg", _written(_encoded("JPEG", quality=95) + b"motion photo" * 99)),
    Awkward("of_a_phone.jpg", _animated(format="MPO", quality=95)),
    Awkward("old_suffix.jfif", _saved(format="JPEG", quality=95)),
    Awkward("one_pixel.png", lambda path: Image.new("RGB", (1, 1), _RED).save(path), (1, 1)),
    Awkward("wide.png", lambda path: Image.new("RGB", (4000, 4), _RED).save(path), (4000, 4)),
    Awkward("tall.png", lambda path: Image.new("RGB", (3, 900), _RED).save(path), (3, 900)),
    Awkward("plain.webp", _saved(quality=95)),
    Awkward("see_through.webp", _see_through("RGBA", lossless=True), pixel=_WHITE),
    Awkward("animated.webp", _animated(lossless=True)),
    Awkward("plain.gif", _saved()),
    Awkward("animated.gif", _animated()),
    Awkward("packed.tiff", _saved(compression="tiff_lzw")),
    Awkward("pages.tif", _animated(format="TIFF")),
    Awkward("print_colours.tiff", _saved("CMYK")),
    Awkward("turned.tiff", _oriented(6), _TURNED),
    Awkward("sixteen_bits.tiff", _array((65535, 0), np.uint16), pixel=_WHITE),
    Awkward("plain.bmp", _saved()),
    Awkward("palette.bmp", _saved("P")),
    Awkward("plain.avif", _saved(quality=95)),
    Awkward("link.png", lambda path: path.symlink_to("plain.png")),
    Awkward("second_name.png", lambda path: os.link(path.parent / "plain.png", path)),
    _refused("empty.png", b"", "it is empty"),
    _refused("cut.png", _encoded("PNG")[:-40], ""),
    _refused("cut.jpg", _encoded("JPEG", quality=95)[:-40], "truncated"),
    _refused("only_a_header.jpg", _encoded("JPEG")[:3]),
    _refused("a_text.png", b"hello, world"),
    _refused("a_page.jpg", _PAGE),
    _refused("not_fetched.jpg", _LFS),
    _refused("postscript.png", _EPS),
    _refused("drawing.png", _SVG),
    _refused("a_pdf.png", b"%PDF-1.4\n" + b" " * 99),
    _refused("photoshop.png", b"8BPS\0\1" + b"\0" * 99),
    _refused("huge.png", _huge(50_000, 40_000), "than 180 million"),
    _refused("impossible.png", _huge(2**31 - 1, 2**31 - 1), "than 180 million"),
    _refused("nothing_wide.png", _huge(0, 40), ""),
    Awkward("text_bomb.png", _text_bomb, None, problem=""),
    Awkward("floats.tiff", _array((0, 1), np.float32), None, problem="no known range"),
    Awkward("pipe.png", lambda path: os.mkfifo(path), None, problem="it is not a file"),
    Awkward(
        "link_out.png",
        lambda path: path.symlink_to("../elsewhere/x.png"),
        None,
        problem="is a link out of the folder",
    ),
    Awkward(
        "link_to_nothing.png", lambda path: path.symlink_to("gone.png"), None, problem="no such"
    ),
    Awkward("link_to_itself.png", lambda path: path.symlink_to(path.name), None, problem=" "),
    _unseen("a_folder.png", Path.mkdir),
    _unseen(".hidden.png", _saved()),
    _unseen("film.mp4", _written(b"\0" * 99)),
    _unseen("layers.psd", _written(b"8BPS")),
    _unseen("Thumbs.db", _written(b"\0")),
]
"""Every file; those that open are of two colours, `_LEFT` in the upper left corner."""
