"""Figures made by a few lines each: a robot in ten poses, and a toy car from ten sides."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

__all__ = ["car", "robot"]

_SIZE = 128
_FINE = 4  # drawn at that many times the size

# degrees from hanging down, outwards: left and right upper and lower arm, left and right leg; tilt
_POSES: tuple[tuple[float, ...], ...] = (
    (15, 15, 15, 15, 8, 8, 0),
    (160, 170, 15, 10, 8, 8, 0),
    (15, 10, 160, 175, 8, 8, 0),
    (150, 160, 150, 160, 25, 25, 0),
    (90, 90, 90, 90, 10, 10, 0),
    (60, -60, 60, -60, 12, 12, 0),
    (80, 160, 30, 40, 40, 0, 8),
    (30, 40, 80, 160, 0, 40, -8),
    (40, 20, 100, 60, 30, 15, 14),
    (100, 60, 40, 20, 15, 30, -14),
)

_BODY, _DARK, _LIGHT, _LAMP = (35, 150, 150), (20, 70, 80), (225, 240, 235), (245, 120, 40)

Point = tuple[float, float]


def robot(number: int) -> Image.Image:
    """Draw a teal robot with an orange lamp, one of ten poses.

    Args:
        number: Which pose.

    Returns:
        (128, 128) RGBA.
    """
    upper_left, lower_left, upper_right, lower_right, left_leg, right_leg, tilt = _POSES[number]
    picture = Image.new("RGBA", (_SIZE * _FINE, _SIZE * _FINE))
    draw = ImageDraw.Draw(picture)
    for side, upper, lower, leg in (
        (-1, upper_left, lower_left, left_leg),
        (1, upper_right, lower_right, right_leg),
    ):
        shoulder, hip = (64 + side * 21, 56), (64 + side * 10, 88)
        elbow = _towards(shoulder, side * upper, 18)
        hand = _towards(elbow, side * lower, 17)
        foot = _towards(hip, side * leg, 28)
        _limb(draw, (shoulder, elbow, hand), 8, _DARK)
        _limb(draw, (hip, foot), 10, _DARK)
        _disc(draw, hand, 6, _LAMP)
        _box(draw, (foot[0] - 9, foot[1] - 3, foot[0] + 9, foot[1] + 6), _BODY)
    _box(draw, (43, 48, 85, 92), _BODY)
    _box(draw, (51, 58, 77, 76), _LIGHT)
    for column, colour in enumerate(((220, 60, 60), (245, 200, 60), (60, 170, 80))):
        _disc(draw, (57 + 7 * column, 67), 3, colour)
    _limb(draw, ((64, 20), (64, 10)), 3, _DARK)
    _disc(draw, (64, 8), 5, _LAMP)
    _box(draw, (46, 18, 82, 46), _BODY)
    for eye in (56, 72):
        _disc(draw, (eye, 30), 6, _LIGHT)
        _disc(draw, (eye, 30), 2.5, _DARK)
    _box(draw, (54, 39, 74, 42), _DARK)
    turned = picture.rotate(tilt, Image.Resampling.BICUBIC)
    return turned.convert("RGBa").resize((_SIZE, _SIZE), Image.Resampling.BOX).convert("RGBA")


def _towards(start: Point, degrees: float, length: float) -> Point:
    turn = math.radians(degrees)
    return start[0] + length * math.sin(turn), start[1] + length * math.cos(turn)


def _limb(
    draw: ImageDraw.ImageDraw, points: Sequence[Point], width: float, colour: tuple[int, ...]
) -> None:
    draw.line([(_FINE * x, _FINE * y) for x, y in points], colour, round(_FINE * width), "curve")
    for point in points:
        _disc(draw, point, width / 2, colour)


def _disc(draw: ImageDraw.ImageDraw, centre: Point, radius: float, colour: tuple[int, ...]) -> None:
    (x, y), reach = centre, radius
    box = (x - reach, y - reach, x + reach, y + reach)
    draw.ellipse([_FINE * each for each in box], colour)


def _box(
    draw: ImageDraw.ImageDraw, box: tuple[float, float, float, float], colour: tuple[int, ...]
) -> None:
    draw.rounded_rectangle([_FINE * each for each in box], _FINE * 3, colour)


# centre and half sizes along length, width and height, and colour
_BLOCKS: tuple[tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]], ...] = (
    ((0.0, 0.0, 0.0), (1.0, 0.48, 0.2), (240, 120, 170)),
    ((-0.15, 0.0, 0.38), (0.5, 0.42, 0.2), (90, 200, 225)),
    ((-0.15, 0.0, 0.6), (0.56, 0.46, 0.05), (250, 245, 235)),
    ((-0.15, 0.0, 0.78), (0.12, 0.12, 0.14), (250, 205, 40)),
    ((1.0, 0.0, -0.08), (0.06, 0.5, 0.08), (90, 60, 140)),
    ((-1.0, 0.0, -0.08), (0.06, 0.5, 0.08), (90, 60, 140)),
    ((0.0, 0.0, 0.21), (1.0, 0.1, 0.012), (250, 245, 235)),
)
_BALLS: tuple[tuple[tuple[float, ...], tuple[float, ...], tuple[int, ...]], ...] = (
    *(
        ((x, y, -0.22), (0.27, 0.1, 0.27), (50, 40, 60))
        for x in (-0.58, 0.58)
        for y in (-0.47, 0.47)
    ),
    *(
        ((x, 1.08 * y, -0.22), (0.13, 0.08, 0.13), (250, 205, 40))
        for x in (-0.58, 0.58)
        for y in (-0.47, 0.47)
    ),
    *(((1.0, y, 0.08), (0.07, 0.1, 0.1), (255, 250, 200)) for y in (-0.28, 0.28)),
)


def car(number: int) -> Image.Image:
    """Draw a pink toy car with a yellow lamp on its roof, from one of ten sides.

    Args:
        number: Which side, in steps of 36 degrees.

    Returns:
        (128, 128) RGBA.
    """
    turn, rise = math.radians(36.0 * number + 20.0), math.radians(24.0)
    sight = -np.array(
        [math.cos(rise) * math.cos(turn), math.cos(rise) * math.sin(turn), math.sin(rise)]
    )
    right = np.array([-math.sin(turn), math.cos(turn), 0.0])
    up = np.cross(right, sight)
    side = _SIZE * _FINE
    across, down = np.meshgrid(*(2 * [(np.arange(side) + 0.5) / side * 2.6 - 1.3]))
    start = across[..., None] * right - (down - 0.2)[..., None] * up - 5.0 * sight  # (S, S, 3)
    colours = np.zeros((side, side, 4))
    depth = np.full((side, side), np.inf)
    light = -sight + 0.6 * up - 0.5 * right
    light /= np.linalg.norm(light)
    for hit, table in ((_hit_block, _BLOCKS), (_hit_ball, _BALLS)):
        for centre, half, colour in table:
            far, normal = hit(start - np.array(centre), sight, np.array(half))
            nearer = far < depth
            shade = 0.55 + 0.45 * (normal @ light).clip(0.0, 1.0)
            colours[nearer, :3] = (shade[..., None] * np.array(colour))[nearer]
            colours[nearer, 3] = 255.0
            depth = np.minimum(far, depth)
    picture = Image.fromarray(np.rint(colours).astype(np.uint8), "RGBA")
    return picture.convert("RGBa").resize((_SIZE, _SIZE), Image.Resampling.BOX).convert("RGBA")


def _hit_block(
    start: np.ndarray, sight: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find where rays meet a block around the origin: distances (S, S) and normals (S, S, 3)."""
    step = 1.0 / np.where(np.abs(sight) < 1e-9, 1e-9, sight)
    enter = -start * step - np.abs(step) * half
    leave = -start * step + np.abs(step) * half
    near, axis = enter.max(axis=-1), enter.argmax(axis=-1)
    far = np.where(near < leave.min(axis=-1), near, np.inf)
    return far, np.eye(3)[axis] * -np.sign(sight)[axis][..., None]


def _hit_ball(
    start: np.ndarray, sight: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find where rays meet an ellipsoid around the origin, likewise."""
    origin, along = start / half, sight / half
    a, b, c = along @ along, origin @ along, (origin**2).sum(axis=-1) - 1.0
    root = b * b - a * c
    far = np.where(root > 0.0, (-b - np.sqrt(root.clip(0.0))) / a, np.inf)
    normal = (origin + np.where(np.isfinite(far), far, 0.0)[..., None] * along) / half
    return far, normal / np.linalg.norm(normal, axis=-1, keepdims=True)
