"""Which of nano's backgrounds a picture stands on, told by the colours along its edges."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image

from sdtune.nano.making.scenes import PALETTE, Background, Pattern

__all__ = ["find_ground"]

_SIDE, _RING = 32, 3  # pixels: what is shown seldom reaches so far
_SURE = 0.5  # share of the ring that a background must explain
_HANDICAP = 0.05  # of a pattern, which can follow what is no background
_GREY = 24  # levels of 255 between red, green and blue, below which a pixel has no colour
_FAINT = 0.1  # share of the ring below which a colour is no part of a pattern

_PERIODS = np.arange(0.14, 0.42, 0.02)  # of the picture's width
_PHASES = np.arange(8) / 8
_ANGLES = np.deg2rad(np.arange(0, 180, 15))


def find_ground(image: Image.Image) -> Background | None:
    """Find the background that explains most of a picture's edge.

    Each pixel along the edges is taken for the nearest colour of `PALETTE`, a grey one for black,
    white or gray, though brown and pink lie nearer to some greys. One colour, or two of
    the three most frequent ones in stripes, squares or dots of any size, phase and direction, are
    compared with that. The order of two colours means something for dots alone.

    Args:
        image: An 8-bit RGB picture of any size.

    Returns:
        The background's pattern and colours; None if no background explains half of the edge.
    """
    inside = _ring()
    small = np.asarray(image.resize((_SIDE, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    palette = np.array(list(PALETTE.values()), dtype=np.float32)
    pixels = small[inside]
    distances = ((pixels[:, None] - palette) ** 2).sum(axis=-1)  # (N, colours)
    is_grey, is_colour = np.ptp(pixels, axis=1) < _GREY, np.ptp(palette, axis=1) >= _GREY
    distances[np.ix_(is_grey, is_colour)] = np.inf
    nearest = distances.argmin(axis=1)
    shares = np.bincount(nearest, minlength=len(palette)) / len(nearest)
    first, *others = np.argsort(-shares, kind="stable")[:3]
    names = list(PALETTE)
    best, ground = float(shares[first]), Background("plain", (names[first],))
    for other in (each for each in others if shares[each] >= _FAINT):
        is_first, is_other = (
            (nearest == each).astype(np.float32) / len(nearest) for each in (first, other)
        )
        for pattern, shown in _patterns().items():
            # (patterns, N) @ (N,): the share of the ring that is as the pattern says
            both_ways = (
                ((first, other), shown @ is_first + (1 - shown) @ is_other),
                ((other, first), shown @ is_other + (1 - shown) @ is_first),
            )
            for (ink, below), explained in both_ways:
                found = float(explained.max()) - _HANDICAP
                if found > best:
                    best, ground = found, Background(pattern, (names[ink], names[below]))
    return ground if best >= _SURE else None


def _ring() -> np.ndarray:
    inside = np.ones((_SIDE, _SIDE), dtype=bool)
    inside[_RING:-_RING, _RING:-_RING] = False
    return inside


@cache
def _patterns() -> dict[Pattern, np.ndarray]:
    """Draw every pattern along the edges: (patterns, N) float32, 1 where its colour shows."""
    place = (np.arange(_SIDE) + 0.5) / _SIDE
    x, y = (each[_ring()] for each in np.meshgrid(place, place))
    shown: dict[Pattern, list[np.ndarray]] = {"striped": [], "checkered": [], "dotted": []}
    for period in _PERIODS:
        for phase in _PHASES:
            for angle in _ANGLES:
                across = (x * np.cos(angle) + y * np.sin(angle)) / period
                shown["striped"].append((across + phase) % 1 < 0.5)
            for below in _PHASES:
                column, row = (x / period + phase) % 1, (y / period + below) % 1
                shown["checkered"].append((column < 0.5) ^ (row < 0.5))
                shown["dotted"].append((column - 0.5) ** 2 + (row - 0.5) ** 2 < 0.3**2)
    return {pattern: np.array(each, dtype=np.float32) for pattern, each in shown.items()}
