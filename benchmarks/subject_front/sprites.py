"""The ten drawings of each subject, without a background."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from benchmarks.subject_front.figures import car, robot
from benchmarks.subject_front.split import SUBJECTS, Subject
from sdtune.nano.making.picture_sets import SUBJECTS as SHIPPED
from sdtune.nano.making.sources import SOURCES, TRAINING_SOURCES, IconSet
from sdtune.nano.making.sprites import render, render_objects

__all__ = ["CACHE", "SIZE", "sprites"]

SIZE = 128
CACHE = Path("~/.cache/sdtune/nano")
_KEY = (255, 0, 255)  # behind a model, a colour that it has not
_FINE = 1024


@lru_cache
def sprites(name: str, cache_dir: Path = CACHE) -> list[Image.Image]:
    """Draw a subject ten times.

    Args:
        name: One of `SUBJECTS`.
        cache_dir: Folder of unpacked packages; what is not there comes from npm's registry.

    Returns:
        Ten pictures, (128, 128) RGBA.
    """
    subject, cache_dir = SUBJECTS[name], cache_dir.expanduser()
    if subject.made == "limbs":
        return [robot(number) for number in range(10)]
    if subject.made == "solids":
        return [car(number) for number in range(10)]
    if subject.made == "model":
        return _panda()
    if subject.made == "set":
        return _shipped(name, cache_dir)
    return _emoji(subject, cache_dir)


def _shipped(name: str, cache_dir: Path) -> list[Image.Image]:
    source, objects = SOURCES["emojione-v1"], SHIPPED[name].objects
    every = (*TRAINING_SOURCES, source)
    found = render_objects(source, dict.fromkeys(objects), SIZE, cache_dir, every)
    return [found[each] for each in objects]


def _emoji(subject: Subject, cache_dir: Path) -> list[Image.Image]:
    assert subject.source is not None
    icons = IconSet(subject.source.fetch(cache_dir))
    found = []
    for name in subject.names:
        svg = icons._svg(name.removesuffix("|"))
        if svg is None:
            raise ValueError(f"Expected {subject.source.package} to have {name}, but it has not.")
        drawn = render(svg, SIZE)
        found.append(ImageOps.mirror(drawn) if name.endswith("|") else drawn)
    return found


def _panda() -> list[Image.Image]:
    """Render Panda3D's panda from ten sides, with its software renderer."""
    from direct.showbase.ShowBase import ShowBase
    from panda3d.core import (
        AmbientLight,
        DirectionalLight,
        PNMImage,
        StringStream,
        loadPrcFileData,
    )

    options = {
        "load-display": "p3tinydisplay",
        "window-type": "offscreen",
        "win-size": f"{_FINE} {_FINE}",
        "audio-library-name": "null",
        "notify-level": "error",
    }
    loadPrcFileData("", "\n".join(f"{key} {value}" for key, value in options.items()))
    base = ShowBase()
    base.setBackgroundColor(*(each / 255 for each in _KEY), 1.0)
    for light, strength in ((AmbientLight("all"), 0.6), (DirectionalLight("one"), 0.8)):
        light.setColor((strength, strength, strength, 1.0))
        place = base.camera.attachNewNode(light)
        place.setHpr(-30.0, -30.0, 0.0)
        base.render.setLight(place)
    axis = base.render.attachNewNode("axis")
    model = base.loader.loadModel("models/panda")
    low, high = model.getTightBounds()
    model.reparentTo(axis)
    model.setPos(-(low + high) / 2)
    reach = (high - low).length() / 2
    base.disableMouse()
    base.camera.setPos(0.0, -reach * 2.6, reach * 0.6)
    base.camera.lookAt(0.0, 0.0, 0.0)
    base.camLens.setFov(40.0)
    found = []
    for number in range(10):
        axis.setH(36.0 * number)
        for _ in range(2):
            base.graphicsEngine.renderFrame()
        seen, stream = PNMImage(), StringStream()
        base.win.getScreenshot(seen)
        seen.write(stream, "panda.ppm")
        found.append(_cut_out(stream.getData()))
    base.destroy()
    return _cropped(found)


def _cut_out(content: bytes) -> Image.Image:
    import io

    pixels = np.array(Image.open(io.BytesIO(content)).convert("RGBA"))
    hidden = (pixels[..., :3] == np.array(_KEY)).all(axis=-1)
    pixels[hidden] = 0
    return Image.fromarray(pixels)


def _cropped(pictures: list[Image.Image]) -> list[Image.Image]:
    """Cut each to a square of one size, around what is seen of it."""
    boxes = [each.getbbox() for each in pictures]
    side = max(max(box[2] - box[0], box[3] - box[1]) for box in boxes if box)
    found = []
    for picture, box in zip(pictures, boxes, strict=True):
        assert box is not None
        left, top = (math.floor((box[n] + box[n + 2] - side) / 2) for n in (0, 1))
        square = picture.crop((left, top, left + side, top + side)).convert("RGBa")
        found.append(square.resize((SIZE, SIZE), Image.Resampling.BOX).convert("RGBA"))
    return found
