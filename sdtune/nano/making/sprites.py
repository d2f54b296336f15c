"""Sprites: emoji rendered to RGBA pictures, and the file that keeps them."""

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from sdtune._imports import require
from sdtune.nano.making.sources import NAMES, IconSet, Source, code_point

__all__ = ["SpriteBook", "build_sprites", "render", "render_objects"]

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)


def render(picture: bytes, size: int) -> Image.Image:
    """Draw an emoji's file into a square of pixels.

    Args:
        picture: content of an SVG or WebP file.
        size: width and height in pixels.

    Returns:
        An RGBA picture of (size, size) pixels.
    """
    if picture.startswith(b"<svg"):
        require("resvg_py", extra="nano")
        import resvg_py

        # Files sized in mm or pt need a dpi; drawn at twice the size, thin lines stay smooth.
        picture = bytes(
            resvg_py.svg_to_bytes(
                svg_string=picture.decode(), width=2 * size, height=2 * size, dpi=96
            )
        )
    sprite = Image.open(io.BytesIO(picture)).convert("RGBA")
    return _premultiplied_resize(sprite, size)


def _premultiplied_resize(sprite: Image.Image, size: int) -> Image.Image:
    """Resize with premultiplied alpha, so that hidden colours do not bleed into the edges."""
    if sprite.size == (size, size):
        return sprite
    return sprite.convert("RGBa").resize((size, size), Image.Resampling.BOX).convert("RGBA")


def render_objects(
    source: Source, names: Iterable[str], size: int, cache_dir: Path, all_sources: Sequence[Source]
) -> dict[str, Image.Image]:
    """Render the objects that a vendor draws.

    Args:
        source: the vendor.
        names: names of objects, as captions write them.
        size: width and height in pixels.
        cache_dir: folder of unpacked packages.
        all_sources: vendors whose name lists help to find a picture in packages without code
            points.

    Returns:
        RGBA pictures by object name; objects that the vendor lacks are left out.
    """
    names_folder = NAMES.fetch(cache_dir)
    icons = IconSet(source.fetch(cache_dir))
    tables = [IconSet(other.fetch(cache_dir)).names for other in all_sources]
    sprites = {}
    for name in names:
        point = code_point(name, names_folder)
        aliases = {table[point] for table in tables if point in table}
        # older lists say "crying cat face" where Unicode now says "crying cat"
        aliases |= {alias.replace("cat", "cat-face") for alias in aliases}
        picture = icons.picture(point, aliases)
        if picture is not None:
            sprites[name] = render(picture, size)
    return sprites


def build_sprites(
    path: Path, sources: Sequence[Source], names: Sequence[str], size: int, cache_dir: Path
) -> None:
    """Render every object in every vendor's style into one zip file of lossless WebP pictures.

    Args:
        path: the file to write; its entries are named `<style>/<object>.webp`.
        sources: the vendors.
        names: names of objects, as captions write them.
        size: width and height of a sprite in pixels.
        cache_dir: folder of unpacked packages.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as book:
        for source in sources:
            sprites = render_objects(source, names, size, cache_dir, sources)
            for name, sprite in sprites.items():
                content = io.BytesIO()
                sprite.save(content, "WEBP", lossless=True, exact=False)
                entry = zipfile.ZipInfo(f"{source.style}/{name}.webp", date_time=_ZIP_EPOCH)
                book.writestr(entry, content.getvalue())
    partial.replace(path)


@dataclass(frozen=True)
class SpriteBook:
    """The sprites of a file made by `build_sprites`, decoded once.

    Args:
        path: the zip file.
    """

    path: Path

    @cached_property
    def sprites(self) -> dict[tuple[str, str], Image.Image]:
        """RGBA pictures by (style, object)."""
        sprites = {}
        with zipfile.ZipFile(self.path) as book:
            for entry in book.namelist():
                style, name = entry.removesuffix(".webp").split("/")
                picture = Image.open(io.BytesIO(book.read(entry)))
                sprites[style, name] = picture.convert("RGBa")
        return sprites

    @cached_property
    def styles(self) -> dict[str, tuple[str, ...]]:
        """The styles in which each object is drawn."""
        styles: dict[str, list[str]] = {}
        for style, name in self.sprites:
            styles.setdefault(name, []).append(style)
        return {name: tuple(sorted(drawn)) for name, drawn in styles.items()}
