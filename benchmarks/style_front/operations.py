"""Styles made of drawings by operations on pictures: pencil lines, ink, tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

__all__ = ["OPERATIONS"]

_INK = np.array([30.0, 28.0, 40.0])
_PAPER = np.array([250.0, 247.0, 238.0])
_HATCH = 6.0  # pixels from one stroke to the next
_TILE = 8  # pixels


def _line(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Draw the edges alone, in ink on tinted paper."""
    del shape
    paper = 0.5 * background + 0.5 * 255.0
    return _blend(np.broadcast_to(paper, picture.shape), _edges(picture))


def _ink(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Draw edges, and shade with one to three layers of strokes, on white over the background."""
    light = picture.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255.0
    rows, columns = np.indices(light.shape)
    strokes = np.zeros_like(light)
    for level, along in ((0.75, rows + columns), (0.5, rows - columns), (0.25, rows)):
        stroke = (along % _HATCH) < _HATCH / 3
        strokes = np.maximum(strokes, stroke * (light < level))
    ground = shape[..., None] * _PAPER + (1.0 - shape[..., None]) * background
    return _blend(ground, np.maximum(strokes * shape, _edges(picture)))


def _mosaic(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Lay tiles of one colour each, brighter and darker by turns, with dark joints."""
    del shape, background
    height, width, _ = picture.shape
    tiles = picture.astype(np.float64).reshape(
        height // _TILE, _TILE, width // _TILE, _TILE, 3
    )  # (H, W, 3) -> (H/t, t, W/t, t, 3)
    colours = tiles.mean(axis=(1, 3))
    rows, columns = np.indices(colours.shape[:2])
    colours = colours * (0.85 + 0.15 * ((rows * 7 + columns * 3) % 5) / 2)[..., None]
    laid = colours.repeat(_TILE, axis=0).repeat(_TILE, axis=1)
    joints = (np.arange(height) % _TILE < 2)[:, None] | (np.arange(width) % _TILE < 2)
    return _bytes(np.where(joints[..., None], 0.6 * laid, laid))


def _edges(picture: np.ndarray) -> np.ndarray:
    """Find how strong the edge at each pixel is, (H, W) in [0, 1]."""
    smooth = Image.fromarray(picture).filter(ImageFilter.GaussianBlur(1.0))
    values = np.pad(np.asarray(smooth, dtype=np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")
    across = values[1:-1, 2:] - values[1:-1, :-2]
    down = values[2:, 1:-1] - values[:-2, 1:-1]
    strength: np.ndarray = np.sqrt(across**2 + down**2).max(axis=-1)
    return ((strength - 12.0) / 36.0).clip(0.0, 1.0)


def _blend(ground: np.ndarray, ink: np.ndarray) -> np.ndarray:
    return _bytes(ground + ink[..., None] * (_INK - ground))


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(0.0, 255.0)).astype(np.uint8)


OPERATIONS: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "line": _line,
    "ink": _ink,
    "mosaic": _mosaic,
}
