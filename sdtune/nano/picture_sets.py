"""The picture sets under datasets/, drawn from the held-out vendors' emoji."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sdtune.nano.objects import OBJECTS
from sdtune.nano.scenes import PALETTE, PATTERNS, Pattern, Scene, random_background
from sdtune.nano.sources import SOURCES, TRAINING_SOURCES, Source
from sdtune.nano.sprites import render_objects

__all__ = ["CAT_FACES", "STYLE_OBJECTS", "build_style_set", "build_subject_set"]

_SIZE = 512

# Well-known objects that the style set leaves out: what a style does to them, it has not seen.
_UNSEEN_IN_STYLE = {"cat face", "turtle", "pizza", "car", "rocket", "penguin", "mushroom", "house"}

STYLE_OBJECTS: tuple[str, ...] = tuple(name for name in OBJECTS if name not in _UNSEEN_IN_STYLE)[
    :122
]

CAT_FACES: tuple[str, ...] = (
    "cat face", "grinning cat", "grinning cat with smiling eyes", "cat with tears of joy",
    "smiling cat with heart-eyes", "cat with wry smile", "kissing cat", "weary cat", "crying cat",
    "pouting cat",
)  # fmt: skip

_STYLE_CARD = """# style_openmoji

122 drawings in one style, OpenMoji's: flat colours and thick outlines. On plain backgrounds of
ten colours, {size} x {size} px, a caption beside each picture. nano has never seen this style.
"""

_SUBJECT_CARD = """# subject_cat

Ten pictures of one individual: EmojiOne's grey-blue cat, with ten expressions, on plain, striped,
checkered and dotted backgrounds, {size} x {size} px, captions in `metadata.jsonl`. nano has never
seen this cat.
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
    _draw(source, scenes, folder, cache_dir)
    for scene in scenes:
        (folder / f"{_stem(scene)}.txt").write_text(scene.caption + "\n", encoding="utf-8")
    _write_card(folder, _STYLE_CARD, source, "style-set")


def build_subject_set(folder: Path, cache_dir: Path) -> None:
    """Draw `datasets/subject_cat`: pictures with captions in metadata.jsonl.

    Args:
        folder: Where to write; it must not exist.
        cache_dir: Folder of unpacked packages.

    Raises:
        FileExistsError: If the folder exists.
    """
    source = SOURCES["emojione-v1"]
    scenes = _scenes(source, CAT_FACES, PATTERNS, tuple(PALETTE), least_width=0.75, seed=10)
    _draw(source, scenes, folder, cache_dir)
    lines = [
        json.dumps({"file_name": f"{_stem(scene)}.png", "text": scene.caption}) for scene in scenes
    ]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_card(folder, _SUBJECT_CARD, source, "subject-set")


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


def _draw(source: Source, scenes: Sequence[Scene], folder: Path, cache_dir: Path) -> None:
    names = [scene.objects[0] for scene in scenes]
    pictures = render_objects(source, names, _SIZE, cache_dir, (*TRAINING_SOURCES, source))
    sprites = {(source.style, name): each.convert("RGBa") for name, each in pictures.items()}
    missing = set(names) - set(pictures)
    if missing:
        raise ValueError(f"Expected {source.package} to draw {sorted(missing)}, but it does not.")
    folder.mkdir(parents=True)
    for scene in scenes:
        picture = Image.fromarray(scene.draw(sprites, _SIZE))
        picture.save(folder / f"{_stem(scene)}.png", optimize=True)


def _stem(scene: Scene) -> str:
    return scene.objects[0].replace(" ", "_").replace("-", "_")


def _write_card(folder: Path, head: str, source: Source, command: str) -> None:
    card = head.format(size=_SIZE) + _CARD_END.format(
        package=source.package,
        version=source.version,
        licence=source.licence,
        attribution=source.attribution,
        command=f"{command} datasets/{folder.name}",
        pillow=Image.__version__,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")
