"""Whether a picture shows the object that was asked for: the nearest drawing tells.

The CLIP score compares with words, and a judge that has never seen a style loses words there that
anyone would still find. So pictures are compared with drawings too: those of the prompts' twelve
objects by six vendors, and the style's own, all on the background of the prompt. A picture is named
right if the nearest one, in the judge's space, shows its object; by chance one in twelve is.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.style_front.pictures import placed, rendered
from benchmarks.style_front.split import STYLES, UNSEEN, Style
from sdtune.metrics.features import CLIPEmbedder, load_clip
from sdtune.nano.making.scenes import Background, Scene
from sdtune.nano.making.sources import TRAINING_SOURCES

__all__ = ["named_right"]

_SIZE = 64
_OBJECTS = list(UNSEEN)


@torch.no_grad()
def named_right(
    images: Tensor, style: str, cache: Path, *, device: str = "cpu", by_vendors: bool = False
) -> list[int]:
    """Tell of each picture whether its object is named right.

    Args:
        images: (B, 3, H, W) in [0, 1], prompts outside and seeds inside.
        style: The style whose own drawings are among those that are compared with.
        cache: Folder where what is known of the drawings is kept.
        device: Where the judge is.
        by_vendors: Leave the style's own drawings out, as for these themselves.

    Returns:
        1 or 0 for each picture.
    """
    repeats = len(images) // len(_OBJECTS)
    right = []
    for number, vector in enumerate(_clip(device).embed_images(images).cpu()):
        colour = UNSEEN[_OBJECTS[number // repeats]]
        own = [] if by_vendors else [_drawings(style, cache)[colour]]
        known = torch.cat([*(_drawings(name, cache)[colour] for name in _VENDORS), *own])
        nearest = int((known @ vector).argmax()) % len(_OBJECTS)
        right.append(int(nearest == number // repeats))
    return right


_VENDORS: Mapping[str, Style] = {
    source.style: Style("tuning", source, 0, 0) for source in TRAINING_SOURCES
}


@lru_cache
def _clip(device: str) -> CLIPEmbedder:
    return load_clip().to(device)


@lru_cache
def _drawings(name: str, cache: Path) -> dict[str, Tensor]:
    """Embed a style's drawings of the objects by colour of the background, each (12, D)."""
    file = cache / f"drawings_{name}.pt"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(_embedded(_VENDORS.get(name) or STYLES[name]), file)
    found: dict[str, Tensor] = torch.load(file)
    return found


def _embedded(style: Style) -> dict[str, Tensor]:
    sprites = rendered(style, _OBJECTS)
    found = {}
    for colour in sorted(set(UNSEEN.values())):
        ground = Background("plain", (colour,))
        scenes = [
            Scene((each,), style.source.style, ground, ((0.0, 0.0, 1.0),)) for each in _OBJECTS
        ]
        pictures = [Image.fromarray(placed(style, scene, sprites)) for scene in scenes]
        small = [np.array(each.resize((_SIZE, _SIZE), Image.Resampling.BOX)) for each in pictures]
        pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255
        found[colour] = _clip("cpu").embed_images(pixels)
    return found
