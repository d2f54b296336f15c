"""The openly licensed emoji packages that nano and the shipped picture sets are drawn from."""

import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from sdtune.nano.making.objects import object_label

__all__ = ["HELD_OUT_SOURCES", "NAMES", "SOURCES", "TRAINING_SOURCES", "Source", "code_point"]


@dataclass(frozen=True)
class Source:
    """One vendor's emoji, as published in a package of the npm registry.

    Args:
        style: the word for the vendor's drawing style in captions.
        package: the package's name in the npm registry.
        version: the package's exact version.
        licence: SPDX identifier of the pictures' licence.
        attribution: the credit that the licence asks for.
    """

    style: str
    package: str
    version: str
    licence: str
    attribution: str

    def fetch(self, cache_dir: Path) -> Path:
        """Download and unpack the package, once.

        Args:
            cache_dir: folder that keeps unpacked packages.

        Returns:
            The unpacked package's folder.

        Raises:
            RuntimeError: `npm` is not installed, or cannot fetch the package.
        """
        name = f"{self.package.lstrip('@').replace('/', '-')}-{self.version}"
        folder = cache_dir / name
        if folder.exists():
            return folder
        cache_dir.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", f"{self.package}@{self.version}"]
        try:
            subprocess.run(command, cwd=cache_dir, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise RuntimeError(
                f"Could not fetch {self.package} {self.version}: `{' '.join(command)}` failed "
                f"({error}). Install npm and check that its registry can be reached."
            ) from error
        archive = cache_dir / f"{name}.tgz"
        unpacked = cache_dir / f".{name}"
        with tarfile.open(archive) as package:
            # Python has none before 3.11.4, which Debian's is
            package.extraction_filter = getattr(tarfile, "data_filter", None)
            package.extractall(unpacked)
        (unpacked / "package").rename(folder)
        unpacked.rmdir()
        archive.unlink()
        return folder


class IconSet:
    """The pictures of one unpacked icon package, looked up by Unicode code point.

    Args:
        folder: an unpacked package in Iconify's format (`icons.json`, `chars.json`), or one with
            an `assets/` folder of pictures named by code point.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _icons(self) -> dict[str, Any]:
        icons: dict[str, Any] = json.loads((self.folder / "icons.json").read_text(encoding="utf-8"))
        return icons

    @cached_property
    def names(self) -> dict[str, str]:
        """Icon names by code point, such as {"1f431": "cat-face"}."""
        path = self.folder / "chars.json"
        if not path.exists():
            return {}
        characters = json.loads(path.read_text(encoding="utf-8"))
        return {_without_selector(key): name for key, name in characters.items()}

    @cached_property
    def _assets(self) -> dict[str, Path]:
        folder = self.folder / "assets"
        return {_without_selector(path.stem): path for path in folder.glob("*.webp")}

    def picture(self, point: str, aliases: set[str]) -> bytes | None:
        """Return a picture's file content: SVG, or WebP where the package holds pixels.

        Args:
            point: code point such as "1f431".
            aliases: names under which other packages list the code point; packages that give no
                code points are searched by these.

        Returns:
            The file's bytes, or None when the package lacks the picture.
        """
        if point in self._assets:
            return self._assets[point].read_bytes()
        if self._assets:
            return None
        known = [self.names[point]] if point in self.names else sorted(aliases)
        for name in known:
            if (svg := self._svg(name)) is not None:
                return svg
        return None

    def _svg(self, name: str) -> bytes | None:
        icon = self._icons["icons"].get(name)
        if icon is None:
            alias = self._icons.get("aliases", {}).get(name)
            return self._svg(alias["parent"]) if alias else None
        width = icon.get("width", self._icons.get("width", 16))
        height = icon.get("height", self._icons.get("height", 16))
        # Empty masks and clip paths make some renderers drop what they cover.
        body = re.sub(r"\s+", " ", icon["body"])
        box = f"{icon.get('left', 0)} {icon.get('top', 0)} {width} {height}"
        head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        return f'{head} width="{width}" height="{height}" viewBox="{box}">{body}</svg>'.encode()


def _without_selector(point: str) -> str:
    return "-".join(part for part in point.lower().split("-") if part != "fe0f")


NAMES = Source("", "emojibase-data", "17.0.0", "MIT", "Emojibase by Miles Johnson")

TRAINING_SOURCES: tuple[Source, ...] = (
    Source("noto", "@iconify-json/noto", "1.2.9", "Apache-2.0", "Noto Emoji by Google"),
    Source("blob", "@iconify-json/noto-v1", "1.2.5", "Apache-2.0", "Noto Emoji (v1) by Google"),
    Source("twemoji", "@iconify-json/twemoji", "1.2.5", "CC-BY-4.0", "Twemoji by Twitter"),
    Source("fluent", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT", "Fluent Emoji by Microsoft (3D)"),
    Source(
        "flat",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "MIT",
        "Fluent Emoji by Microsoft (flat)",
    ),
    Source("emojione", "@iconify-json/emojione", "1.2.3", "CC-BY-4.0", "EmojiOne 2 by EmojiOne"),
)

# Never part of nano's training: the recipes fine-tune on these.
HELD_OUT_SOURCES: tuple[Source, ...] = (
    Source(
        "openmoji", "@iconify-json/openmoji", "1.2.29", "CC-BY-SA-4.0", "OpenMoji, openmoji.org"
    ),
    Source(
        "emojione-v1", "@iconify-json/emojione-v1", "1.2.3", "CC-BY-SA-4.0",
        "EmojiOne 1 by EmojiOne",
    ),
)  # fmt: skip

SOURCES: dict[str, Source] = {
    source.style: source for source in TRAINING_SOURCES + HELD_OUT_SOURCES
}


@lru_cache(maxsize=4)
def _code_points(folder: Path) -> dict[str, str]:
    entries = json.loads((folder / "en" / "data.json").read_text(encoding="utf-8"))
    return {entry["label"]: _without_selector(entry["hexcode"]) for entry in entries}


def code_point(name: str, names_folder: Path) -> str:
    """Return the code point of the emoji that shows an object.

    Args:
        name: an object's name as captions write it, or a Unicode CLDR short name.
        names_folder: the unpacked package `NAMES`.

    Returns:
        The code point without variation selectors, such as "1f431".

    Raises:
        KeyError: no emoji has that name.
    """
    points = _code_points(names_folder)
    label = object_label(name)
    if label not in points:
        raise KeyError(f"Expected `name` to be an emoji's English short name, but got {name!r}.")
    return points[label]
