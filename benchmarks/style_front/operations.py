"""Styles made of drawings by operations on pictures: ink, tiles, stitches, chalk, glass, neon.

Each takes the picture (H, W, 3) and the object's shape (H, W) in [0, 1] over the background's
colour (3,), and draws anew. What looks random is the same at every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageFilter

__all__ = ["OPERATIONS"]

_INK = np.array([30.0, 28.0, 40.0])
_PAPER = np.array([250.0, 247.0, 238.0])
_HATCH = 6.0  # pixels from one stroke to the next
_TILE = 8  # pixels
_STITCH = 8
_LEAD = np.array([22.0, 22.0, 26.0])
_CHALK = np.array([240.0, 240.0, 232.0])
_INKS = (np.array([232.0, 60.0, 110.0]), np.array([0.0, 92.0, 160.0]))  # pink and blue
_DOT = 6.0  # pixels from one dot to the next


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


def _stitch(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Stitch crosses of one colour each on pale cloth of the background's colour."""
    colours, covered = _cells(picture, _STITCH), _cells(shape[..., None], _STITCH)[..., 0]
    cloth = np.broadcast_to(0.6 * background + 0.4 * 255.0, picture.shape)
    rows, columns = np.indices(shape.shape)
    weave = 1.0 - 0.12 * ((rows + columns) // 2 % 2)[..., None]
    row, column = rows % _STITCH - (_STITCH - 1) / 2, columns % _STITCH - (_STITCH - 1) / 2
    cross = (np.minimum(abs(row - column), abs(row + column)) < 2.0) & (abs(row) < 4.0)
    lit = np.where(abs(row - column) < 2.0, 1.08, 0.82)[..., None]  # one thread over the other
    sewn = (cross & (covered > 0.5))[..., None]
    return _bytes(np.where(sewn, colours * lit, cloth * weave))


def _glass(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Cut the picture into panes of glowing colour, with lead between them and round objects."""
    del background
    rows, columns = np.indices(shape.shape)
    rng = np.random.Generator(np.random.Philox(key=[0, 11]))
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), axis=-1).reshape(-1, 2)
    seeds = (grid + rng.uniform(0.15, 0.85, grid.shape)) * 16  # one pane in 16 x 16 pixels
    far = (rows[..., None] - seeds[:, 0]) ** 2 + (columns[..., None] - seeds[:, 1]) ** 2
    inside = shape > 0.5
    pane = far.argmin(axis=-1) * 2 + inside
    totals = np.bincount(pane.ravel(), minlength=128)
    flat = picture.reshape(-1, 3).astype(np.float64)
    sums = np.stack([np.bincount(pane.ravel(), flat[:, c], 128) for c in range(3)], axis=1)
    colours = (sums / totals.clip(1)[:, None])[pane]
    grey = colours.mean(axis=-1, keepdims=True)
    glow = 0.9 + 0.25 * (np.sin(pane * 2.4) > 0)[..., None]
    vivid = (grey + 1.5 * (colours - grey)) * glow
    joints = np.zeros(shape.shape, dtype=bool)
    for axis in (0, 1):
        changed = np.diff(pane, axis=axis, append=pane.take([-1], axis=axis)) != 0
        joints |= changed | np.roll(changed, 1, axis=axis)
    return _bytes(np.where(joints[..., None], _LEAD, vivid))


def _chalk(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Draw edges in white chalk, and fill in coloured chalk, on a dark board."""
    noise = np.random.Generator(np.random.Philox(key=[0, 12])).random(shape.shape)
    grain = np.asarray(
        Image.fromarray(_bytes(255 * noise)).filter(ImageFilter.GaussianBlur(0.8)), float
    )
    rough = ((grain - 118.0) / 20.0).clip(0.0, 1.0)
    rows, columns = np.indices(shape.shape)
    strokes = ((rows + columns) % 7 < 4) * rough * shape * 0.75
    pale = 0.55 * picture + 0.45 * 255.0
    board = 0.28 * background + np.array([14.0, 18.0, 16.0])
    filled = board + strokes[..., None] * (pale - board)
    lines = _edges(picture) * (0.55 + 0.45 * rough)
    return _bytes(filled + lines[..., None] * (_CHALK - filled))


def _neon(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Bend glowing tubes along the edges, in the colours that they part, before a dark wall."""
    del shape
    wall = np.broadcast_to(0.22 * background + 6.0, picture.shape)
    blurred = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(2.0)), float)
    strongest = blurred.max(axis=-1, keepdims=True).clip(1.0)
    lit = 255.0 * (blurred / strongest) ** 1.6  # as bright and coloured as it gets
    tube = _edges(picture)
    wide = Image.fromarray(_bytes(255 * tube)).filter(ImageFilter.GaussianBlur(4.0))
    halo = (np.asarray(wide, float) / 255.0 * 1.6).clip(0.0, 1.0)[..., None]
    glowing = wall + 0.75 * halo * (lit - wall)
    core = tube[..., None] ** 1.5
    return _bytes(glowing + core * (0.35 * lit + 0.65 * 255.0 - glowing))


def _riso(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Print two inks as dots, the second a little off, on paper of the background's colour."""
    part = picture.astype(np.float64) / 255.0
    light = part @ np.array([0.299, 0.587, 0.114])
    warm = (part[..., 0] - part[..., 2]).clip(-1.0, 1.0)
    amounts = (
        (0.75 - 0.6 * light + 0.5 * warm).clip(0.0, 1.0),
        (0.75 - 0.7 * light - 0.5 * warm).clip(0.0, 1.0),
    )
    rows, columns = np.indices(shape.shape)
    printed = shape[..., None] * _PAPER + (1.0 - shape[..., None]) * background
    for ink, amount, angle, off in zip(_INKS, amounts, (0.26, 1.31), (0, 3), strict=True):
        across = columns * np.cos(angle) + rows * np.sin(angle)
        down = rows * np.cos(angle) - columns * np.sin(angle)
        wave = np.cos(2 * np.pi * across / _DOT) + np.cos(2 * np.pi * down / _DOT)
        dots = ((2.0 * amount - 1.0 + wave / 2.0) * 3.0).clip(0.0, 1.0) * shape
        cover = np.roll(dots, (off, off), axis=(0, 1))[..., None]
        printed = printed * (1.0 - cover + cover * ink / 255.0)
    return _bytes(printed)


def _crayon(picture: np.ndarray, shape: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Colour in with waxy strokes and a thick coloured outline, on paper."""
    noise = np.random.Generator(np.random.Philox(key=[0, 13])).random(shape.shape)
    rows, columns = np.indices(shape.shape)
    wave = 2.0 * np.sin(columns / 9.0)
    stroke = (rows * 0.8 + columns * 0.6 + wave) % 5.0 < 3.4
    wax = stroke * (noise > 0.18)
    paper = 0.75 * np.broadcast_to(background, picture.shape) + 0.25 * 255.0
    ground = shape[..., None] * _PAPER + (1.0 - shape[..., None]) * paper
    smooth = np.asarray(Image.fromarray(picture).filter(ImageFilter.ModeFilter(9)), float)
    inked = ground + (wax * shape)[..., None] * 0.9 * (smooth - ground)
    outline = np.asarray(
        Image.fromarray(_bytes(255 * _edges(picture))).filter(ImageFilter.MaxFilter(3)), float
    )
    cover = (outline / 255.0 * (0.5 + 0.5 * (noise > 0.3)))[..., None]
    return _bytes(inked + cover * (0.55 * smooth - inked))


def _cells(values: np.ndarray, size: int) -> np.ndarray:
    """Average over squares, and spread each average over its own: (H, W, C)."""
    height, width, channels = values.shape
    squares = values.astype(np.float64).reshape(
        height // size, size, width // size, size, channels
    )  # (H, W, C) -> (H/s, s, W/s, s, C)
    spread: np.ndarray = squares.mean(axis=(1, 3)).repeat(size, axis=0).repeat(size, axis=1)
    return spread


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
    "stitch": _stitch,
    "glass": _glass,
    "chalk": _chalk,
    "neon": _neon,
    "riso": _riso,
    "crayon": _crayon,
}
