"""The same things drawn in two styles, so that style and content can be told apart."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw

__all__ = ["draw_things"]


def draw_things(count: int, style: Literal["flat", "hatched"], seed: int = 0) -> torch.Tensor:
    """Draw thing number i: its colours, place and size are its own, whatever the style.

    Args:
        count: Number of things, B.
        style: `flat` for plain discs, `hatched` for the same under thin stripes.
        seed: Seed of where exactly a drawing puts the thing.

    Returns:
        (B, 3, 64, 64) in [0, 1].
    """
    return torch.stack([_draw(number, style, seed) for number in range(count)])


def _draw(number: int, style: str, seed: int) -> torch.Tensor:
    thing = np.random.default_rng(number)
    hand = np.random.default_rng([number, seed, len(style)])
    ground, colour = (tuple(int(c) for c in thing.integers(0, 256, 3)) for _ in range(2))
    left, top = thing.uniform(2, 26, 2) + hand.uniform(-2, 2, 2)
    width, height = thing.uniform(20, 36, 2)
    picture = Image.new("RGB", (64, 64), ground)
    pen = ImageDraw.Draw(picture)
    pen.ellipse((left, top, left + width, top + height), colour)
    if style == "hatched":
        ink = tuple(c // 2 for c in colour)
        for x in range(int(left), int(left + width), 3):
            pen.line((x, top + 5, x, top + height - 5), ink)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
