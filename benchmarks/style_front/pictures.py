"""The pictures of each style, composed from openly licensed packages, the same bits every time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.style_front.operations import OPERATIONS
from benchmarks.style_front.split import STYLES, UNSEEN, Style
from sdtune.nano.making.objects import OBJECTS
from sdtune.nano.making.scenes import PALETTE, Background, Scene, random_background
from sdtune.nano.making.sources import TRAINING_SOURCES
from sdtune.nano.making.sprites import render_objects

__all__ = ["compose", "placed", "rendered"]

_SIZE = 128
_HASHES = Path(__file__).parent / "pictures.json"
_CACHE = Path("~/.cache/sdtune/nano")
_COLOURS = [colour for colour in PALETTE if colour != "black"]  # it would hide black lines
_LEAST_WIDTH = 0.95


def compose(name: str, folder: Path, cache_dir: Path = _CACHE) -> Path:
    """Draw the training pictures of a style, and the style's own drawings of the unseen objects.

    Args:
        name: One of `STYLES`.
        folder: Where the styles' folders are.
        cache_dir: Folder of unpacked packages; what is not there comes from npm's registry.

    Returns:
        The style's folder: `training` with captions beside the pictures, and `unseen`, in the
        order of the prompts. One that is there already is taken as it is.

    Raises:
        ValueError: If the pictures are not those of the record, `pictures.json`.
    """
    target = folder / name
    if target.exists():
        return target
    scenes, pictures = _draw(STYLES[name], cache_dir)
    _check(name, scenes, pictures)
    partial = folder / f".{name}"
    for part in ("training", "unseen"):
        (partial / part).mkdir(parents=True, exist_ok=True)
    for scene, picture in zip(scenes, pictures, strict=True):
        part = "unseen" if scene.objects[0] in UNSEEN else "training"
        stem = scene.objects[0].replace(" ", "_").replace("-", "_")
        Image.fromarray(picture).save(partial / part / f"{stem}.png")
        (partial / part / f"{stem}.txt").write_text(scene.caption + "\n", encoding="utf-8")
    partial.rename(target)
    return target


def rendered(
    style: Style, names: Sequence[str], cache_dir: Path = _CACHE
) -> dict[tuple[str, str], Image.Image]:
    """Render a style's objects: premultiplied pictures by (package's style, object)."""
    sources = (*TRAINING_SOURCES, style.source)
    found = render_objects(style.source, names, _SIZE, cache_dir.expanduser(), sources)
    return {(style.source.style, name): each.convert("RGBa") for name, each in found.items()}


def _draw(style: Style, cache_dir: Path) -> tuple[list[Scene], list[np.ndarray]]:
    sprites = rendered(style, OBJECTS, cache_dir)
    has = {name for _, name in sprites}
    known = [name for name in OBJECTS if name in has and name not in UNSEEN]
    rng = np.random.Generator(np.random.Philox(key=[style.seed, 2**32]))
    chosen = sorted(rng.permutation(len(known))[: style.pictures].tolist())
    scenes = [_scene(style, number, known[number]) for number in chosen]
    scenes += [_scene(style, 1000 + n, name) for n, name in enumerate(UNSEEN)]
    return scenes, [placed(style, scene, sprites) for scene in scenes]


def _scene(style: Style, number: int, name: str) -> Scene:
    """Place an object on a plain background, with the style unnamed."""
    rng = np.random.Generator(np.random.Philox(key=[style.seed, number]))
    width = float(rng.uniform(_LEAST_WIDTH, 1.0))
    left, top = (float(rng.random()) * (1 - width) for _ in range(2))
    background = random_background(rng, ("plain",), _COLOURS)
    if name in UNSEEN:
        background = Background("plain", (UNSEEN[name],))
    box = (left, top, width)
    return Scene((name,), style.source.style, background, (box,), named=(True, False))


def placed(style: Style, scene: Scene, sprites: dict[tuple[str, str], Image.Image]) -> np.ndarray:
    """Draw a scene in a style: (size, size, 3) bytes."""
    picture = scene.draw(sprites, _SIZE)
    if style.operation is None:
        return picture
    key = (scene.style, scene.objects[0])
    alpha = sprites[key].getchannel("a")
    shapes = {key: Image.merge("RGBa", [alpha] * 4)}
    black = Scene(scene.objects, scene.style, Background("plain", ("black",)), scene.boxes)
    ground = np.array(PALETTE["black"])[0]
    shape = (black.draw(shapes, _SIZE)[..., 0].astype(np.float64) - ground) / (255 - ground)
    colour = np.array(PALETTE[scene.background.colours[0]], dtype=np.float64)
    return OPERATIONS[style.operation](picture, shape.clip(0.0, 1.0), colour)


def _check(name: str, scenes: Sequence[Scene], pictures: Sequence[np.ndarray]) -> None:
    """Compare with the record, and add what it does not have yet."""
    digest = sha256()
    for scene, picture in zip(scenes, pictures, strict=True):
        digest.update(scene.caption.encode())
        digest.update(picture.tobytes())
    found = {"pictures": len(scenes) - len(UNSEEN), "sha256": digest.hexdigest()}
    record = json.loads(_HASHES.read_text(encoding="utf-8")) if _HASHES.exists() else {}
    if name in record and record[name] != found:
        raise ValueError(
            f"Expected the pictures of {name} to be {record[name]}, as {_HASHES.name} has them, "
            f"but got {found}: another version of a package, of resvg-py or of Pillow drew them."
        )
    if name not in record:
        _HASHES.write_text(json.dumps({**record, name: found}, indent=2) + "\n", encoding="utf-8")
