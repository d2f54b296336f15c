"""The picture sets under datasets/, drawn from the held-out vendors' emoji."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sdtune.nano.making.objects import OBJECTS
from sdtune.nano.making.scenes import PALETTE, PATTERNS, Pattern, Scene, random_background
from sdtune.nano.making.sources import SOURCES, TRAINING_SOURCES, Source
from sdtune.nano.making.sprites import render_objects

__all__ = ["STYLE_OBJECTS", "SUBJECTS", "Subject", "build_style_set", "build_subject_set"]

_SIZE = 512

# Well-known objects that the style set leaves out: what a style does to them, it has not seen.
_UNSEEN_IN_STYLE = {"cat face", "turtle", "pizza", "car", "rocket", "penguin", "mushroom", "house"}

STYLE_OBJECTS: tuple[str, ...] = tuple(name for name in OBJECTS if name not in _UNSEEN_IN_STYLE)[
    :122
]


@dataclass(frozen=True)
class Subject:
    """One individual of the held-out vendor.

    Args:
        objects: what its pictures show, one each: the emoji's names.
        description: the words of its data card.
        seed: seed of places and backgrounds.
    """

    objects: tuple[str, ...]
    description: str
    seed: int


SUBJECTS: Mapping[str, Subject] = {
    "cat": Subject(
        (
            "cat face", "grinning cat", "grinning cat with smiling eyes", "cat with tears of joy",
            "smiling cat with heart-eyes", "cat with wry smile", "kissing cat", "weary cat",
            "crying cat", "pouting cat",
        ),
        "EmojiOne's grey-blue cat, with ten expressions",
        seed=10,
    ),
    "rabbit": Subject(
        ("rabbit face",) * 10,
        "EmojiOne's tan rabbit, in ten places",
        seed=17,
    ),
}  # fmt: skip

_STYLE_CARD = """# style_openmoji

122 drawings in one style, OpenMoji's: flat colours and thick outlines. On plain backgrounds of
ten colours, {size} x {size} px, a caption beside each picture. nano has never seen this style.
"""

_SUBJECT_CARD = """# subject_{name}

Ten pictures of one individual: {description}, on plain, striped,
checkered and dotted backgrounds, {size} x {size} px, captions in `metadata.jsonl`. nano has never
seen this {name}.
"""

_CARD_END = """
| | |
| --- | --- |
| source | npm package `{package}` {version} |
| licence | {licence}; the pictures here keep it |
| attribution | {attribution} |
| changes | rendered, placed on coloured backgrounds, captioned |
| made by | `python -m sdtune.nano {command}`, which needs `pip install -e ".[nano]"` and npm |

The command re-creates every file byte for byte with resvg-py 0.5.0 and Pillow {pillow}.
"""


def build_style_set(folder: Path, cache_dir: Path) -> None:
    """Draw `datasets/style_openmoji`: pictures with sidecar captions.

    Args:
        folder: Where to write; it must not exist.
        cache_dir: Folder of unpacked packages.

    Raises:
        FileExistsError: If the folder exists.
    """
    source = SOURCES["openmoji"]
    # black would hide the outlines, and the vendor leaves wide margins
    colours = [colour for colour in PALETTE if colour != "black"]
    scenes = _scenes(source, STYLE_OBJECTS, ("plain",), colours, least_width=0.95, seed=122)
    stems = _draw(source, scenes, folder, cache_dir)
    for stem, scene in zip(stems, scenes, strict=True):
        (folder / f"{stem}.txt").write_text(scene.caption + "\n", encoding="utf-8")
    _write_card(folder, _STYLE_CARD.format(size=_SIZE), source, "style_set")


def build_subject_set(folder: Path, cache_dir: Path, name: str) -> None:
    """Draw the pictures of a subject, such as `datasets/subject_cat`; captions in metadata.jsonl.

    Args:
        folder: Where to write; it must not exist.
        cache_dir: Folder of unpacked packages.
        name: One of `SUBJECTS`.

    Raises:
        FileExistsError: If the folder exists.
        ValueError: If there is no such subject.
    """
    if name not in SUBJECTS:
        known = ", ".join(f"`{each}`" for each in SUBJECTS)
        raise ValueError(f"Expected `name` to be one of {known}, but got `{name}`.")
    subject, source = SUBJECTS[name], SOURCES["emojione-v1"]
    scenes = _scenes(
        source, subject.objects, PATTERNS, tuple(PALETTE), least_width=0.75, seed=subject.seed
    )
    stems = _draw(source, scenes, folder, cache_dir)
    lines = [
        json.dumps({"file_name": f"{stem}.png", "text": scene.caption})
        for stem, scene in zip(stems, scenes, strict=True)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    head = _SUBJECT_CARD.format(name=name, description=subject.description, size=_SIZE)
    _write_card(folder, head, source, f"subject_set {name}")


def _scenes(
    source: Source,
    objects: Sequence[str],
    patterns: Sequence[Pattern],
    colours: Sequence[str],
    least_width: float,
    seed: int,
) -> list[Scene]:
    """Place each object once, with the style unnamed: it is what an adapter shall learn."""
    scenes = []
    for number, name in enumerate(objects):
        rng = np.random.Generator(np.random.Philox(key=[seed, number]))
        width = float(rng.uniform(least_width, 1.0))
        left, top = (float(rng.random()) * (1 - width) for _ in range(2))
        background = random_background(rng, patterns, colours)
        scenes.append(
            Scene((name,), source.style, background, ((left, top, width),), named=(True, False))
        )
    return scenes


def _draw(source: Source, scenes: Sequence[Scene], folder: Path, cache_dir: Path) -> list[str]:
    """Write the pictures and return their names, without suffix."""
    names = [scene.objects[0] for scene in scenes]
    pictures = render_objects(source, names, _SIZE, cache_dir, (*TRAINING_SOURCES, source))
    sprites = {(source.style, name): each.convert("RGBa") for name, each in pictures.items()}
    missing = set(names) - set(pictures)
    if missing:
        raise ValueError(f"Expected {source.package} to draw {sorted(missing)}, but it does not.")
    folder.mkdir(parents=True)
    stems = _stems(names)
    for stem, scene in zip(stems, scenes, strict=True):
        picture = Image.fromarray(scene.draw(sprites, _SIZE))
        picture.save(folder / f"{stem}.png", optimize=True)
    return stems


def _stems(names: Sequence[str]) -> list[str]:
    """Name files by what they show, with a number where that is the same."""
    stems = [name.replace(" ", "_").replace("-", "_") for name in names]
    return [
        stem if stems.count(stem) == 1 else f"{stem}_{number:02d}"
        for number, stem in enumerate(stems, start=1)
    ]


def _write_card(folder: Path, head: str, source: Source, command: str) -> None:
    card = head + _CARD_END.format(
        package=source.package,
        version=source.version,
        licence=source.licence,
        attribution=source.attribution,
        command=f"{command} datasets/{folder.name}",
        pillow=Image.__version__,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
