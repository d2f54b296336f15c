"""Scenes: sprites over plain or patterned backgrounds, with a caption that names all of it.

Everything about scene number `i` is a function of (seed, i), so that any part of an endless data
set can be drawn again, in any order and by any worker.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from sdtune.nano.making.objects import WELL_KNOWN, with_article
from sdtune.nano.making.sprites import SpriteBook

__all__ = [
    "PALETTE",
    "PATTERNS",
    "Background",
    "Pattern",
    "Scene",
    "SceneComposer",
    "random_background",
    "with_made_up_word",
]

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (220, 50, 47),
    "orange": (245, 130, 32),
    "yellow": (250, 215, 60),
    "green": (60, 170, 80),
    "blue": (50, 110, 220),
    "purple": (140, 80, 190),
    "pink": (250, 160, 190),
    "brown": (130, 85, 50),
    "black": (25, 25, 25),
    "white": (250, 250, 250),
    "gray": (140, 140, 140),
}

Pattern = Literal["plain", "striped", "checkered", "dotted"]
PATTERNS: tuple[Pattern, ...] = ("plain", "striped", "checkered", "dotted")

_RELATIONS = ("next to", "left of", "right of")
_LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_SYLLABLES = tuple(a + b for a in "bcdfghjklmnpqrstvwxz" for b in "aeiou")


@dataclass(frozen=True)
class Background:
    """A background: one colour, or a pattern of two.

    Args:
        pattern: one of `PATTERNS`.
        colours: one name of `PALETTE` for "plain", else two: the pattern's and the ground's.
        period: the pattern's period as a fraction of the picture's width.
        phase: horizontal and vertical shift of the pattern, in periods.
        angle: direction of stripes in degrees.
    """

    pattern: Pattern
    colours: tuple[str, ...]
    period: float = 0.25
    phase: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0

    @property
    def caption(self) -> str:
        """The words for it, such as "dotted pink and white background"."""
        colours = " and ".join(self.colours)
        return f"{'' if self.pattern == 'plain' else self.pattern + ' '}{colours} background"

    def draw(self, size: int) -> np.ndarray:
        """Draw it into a square.

        Args:
            size: width and height in pixels.

        Returns:
            (size, size, 3) uint8, RGB.
        """
        ground = np.array(PALETTE[self.colours[-1]], dtype=np.float32)
        if self.pattern == "plain":
            return np.full((size, size, 3), ground, dtype=np.float32).astype(np.uint8)
        ink = np.array(PALETTE[self.colours[0]], dtype=np.float32)
        samples = 3 * size  # three by three samples a pixel smooth the edges
        steps = (np.arange(samples, dtype=np.float32) + 0.5) / (samples * self.period)
        mask = self._mask(steps + self.phase[0], (steps + self.phase[1])[:, None])
        cover = mask.reshape(size, 3, size, 3).mean(axis=(1, 3), dtype=np.float32)[..., None]
        colours: np.ndarray = np.rint(cover * ink + (1 - cover) * ground)
        return colours.astype(np.uint8)

    def _mask(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Tell where the pattern's colour shows; coordinates in periods."""
        if self.pattern == "striped":
            turn = np.deg2rad(self.angle)
            stripes: np.ndarray = (x * np.cos(turn) + y * np.sin(turn)) % 1.0 < 0.5
            return stripes
        if self.pattern == "checkered":
            return (x % 1.0 < 0.5) ^ (y % 1.0 < 0.5)
        return (x % 1.0 - 0.5) ** 2 + (y % 1.0 - 0.5) ** 2 < 0.3**2


@dataclass(frozen=True)
class Scene:
    """What is in a picture: objects from left to right, one style, a background.

    Args:
        objects: names of one or two objects, in the order in which the caption names them.
        style: the vendor's style in which they are drawn.
        background: what is behind them.
        boxes: left, top and width of each object's square, as fractions of the picture's width.
        relation: "next to", "left of" or "right of", for two objects.
        named: whether the caption names the background and the style.
    """

    objects: tuple[str, ...]
    style: str
    background: Background
    boxes: tuple[tuple[float, float, float], ...]
    relation: str = ""
    named: tuple[bool, bool] = (True, True)

    @property
    def caption(self) -> str:
        """Its caption, such as "a turtle on a dotted pink and white background, noto style"."""
        caption = f" {self.relation} ".join(with_article(name) for name in self.objects)
        if self.named[0]:
            words = self.background.caption
            caption += f" on {'an' if words.startswith('orange') else 'a'} {words}"
        if self.named[1]:
            caption += f", {self.style} style"
        return caption

    def draw(self, sprites: Mapping[tuple[str, str], Image.Image], size: int) -> np.ndarray:
        """Draw it.

        Args:
            sprites: RGBa (premultiplied) pictures by (style, object).
            size: width and height in pixels.

        Returns:
            (size, size, 3) uint8, RGB.
        """
        picture = self.background.draw(size)
        for name, (left, top, width) in zip(self.objects, self.boxes, strict=True):
            side = round(width * size)
            # no negative lobes: colours stay below their alpha
            sprite = sprites[self.style, name].resize((side, side), Image.Resampling.HAMMING)
            pixels = np.asarray(sprite, dtype=np.uint16)  # (side, side, 4), premultiplied
            row, column = round(top * size), round(left * size)
            part = picture[row : row + side, column : column + side]
            part[...] = pixels[..., :3] + (part * (255 - pixels[..., 3:]) + 127) // 255
        return picture


class SceneComposer:
    """An endless list of scenes, each a function of the seed and its number.

    Args:
        book: the sprites to draw from.
        seed: another seed gives other scenes; training and evaluation use different ones.
        pair_share: share of scenes with two objects side by side, in [0, 1].
        well_known_share: share of scenes whose objects are drawn from the well-known ones alone,
            in [0, 1]; the others are drawn from all objects.
        complete_captions: name background and style in every caption.
        family_size: scenes in a family, whose members have consecutive numbers. In half of the
            families they differ in the object alone, in three of ten in style and background, and
            the others are no relatives. A CLIP that must tell the members apart learns to name
            each of the three. 1 makes no families.
    """

    def __init__(
        self,
        book: SpriteBook,
        seed: int = 0,
        pair_share: float = 0.1,
        well_known_share: float = 0.4,
        complete_captions: bool = False,
        family_size: int = 1,
    ) -> None:
        self.book = book
        self.seed = seed
        self.pair_share = pair_share
        self.well_known_share = well_known_share
        self.complete_captions = complete_captions
        self.family_size = family_size
        self._objects = tuple(sorted(book.styles))
        self._well_known = tuple(name for name in WELL_KNOWN if name in book.styles)

    def scene(self, number: int) -> Scene:
        """Compose scene `number`, any integer from 0 to 2**64 - 1."""
        rng = np.random.Generator(np.random.Philox(key=[self.seed, number]))
        if self.family_size > 1:
            family, member = divmod(number, self.family_size)
            # a stream of the family's own, apart from those of the scenes
            shared = np.random.Generator(np.random.Philox(key=[self.seed + 2**63, family]))
            kind = shared.random()
            if kind < 0.5:
                return self._of_other_object(shared, rng, member)
            if kind < 0.8:
                return self._of_other_style(shared, rng, member)
        return self._without_relatives(rng)

    def _of_other_object(
        self, shared: np.random.Generator, rng: np.random.Generator, member: int
    ) -> Scene:
        """Compose a scene whose family has its style and background in common."""
        styles = sorted(set().union(*self.book.styles.values()))
        style = styles[int(shared.integers(len(styles)))]
        drawn = [name for name in self._objects if style in self.book.styles[name]]
        name = drawn[shared.permutation(len(drawn))[member % len(drawn)]]
        background, named = random_background(shared), _named(shared)
        return Scene((name,), style, background, (_place(rng),), named=named)

    def _of_other_style(
        self, shared: np.random.Generator, rng: np.random.Generator, member: int
    ) -> Scene:
        """Compose a scene whose family has its object in common, and few backgrounds."""
        name = self._objects[int(shared.integers(len(self._objects)))]
        styles = sorted(self.book.styles[name])
        count = -(-self.family_size // len(styles))
        backgrounds = [random_background(shared) for _ in range(count)]
        style = styles[member % len(styles)]
        return Scene((name,), style, backgrounds[member // len(styles)], (_place(rng),))

    def _without_relatives(self, rng: np.random.Generator) -> Scene:
        well_known = bool(self._well_known) and rng.random() < self.well_known_share
        candidates = self._well_known if well_known else self._objects
        count = 2 if rng.random() < self.pair_share else 1
        objects = tuple(candidates[int(rng.integers(len(candidates)))] for _ in range(count))
        shared = set.intersection(*(set(self.book.styles[name]) for name in objects))
        if not shared:
            objects, shared = objects[:1], set(self.book.styles[objects[0]])
        style = sorted(shared)[int(rng.integers(len(shared)))]
        background = random_background(rng)
        named = (True, True) if self.complete_captions else _named(rng)
        if len(objects) == 1:
            return Scene(objects, style, background, (_place(rng),), named=named)
        relation = _RELATIONS[int(rng.integers(len(_RELATIONS)))]
        boxes = _place_pair(rng, swapped=relation == "right of")
        return Scene(objects, style, background, boxes, relation, named)


def random_background(
    rng: np.random.Generator,
    patterns: Sequence[Pattern] = PATTERNS,
    colours: Sequence[str] = tuple(PALETTE),
) -> Background:
    """Draw a background: half of them plain when plain is among the patterns.

    Args:
        rng: source of randomness.
        patterns: the patterns to choose from.
        colours: the names of `PALETTE` to choose from.
    """
    names = list(colours)
    patterned = [pattern for pattern in patterns if pattern != "plain"]
    if not patterned or ("plain" in patterns and rng.random() < 0.5):
        return Background("plain", (names[int(rng.integers(len(names)))],))
    first, second = rng.choice(len(names), size=2, replace=False)
    return Background(
        pattern=patterned[int(rng.integers(len(patterned)))],
        colours=(names[first], names[second]),
        period=float(rng.uniform(0.18, 0.34)),
        phase=(float(rng.random()), float(rng.random())),
        angle=float(rng.choice([0, 45, 90, 135])),
    )


def with_made_up_word(caption: str, rng: np.random.Generator) -> str:
    """Put a word that means nothing, such as "qzv" or "lumiko", into a caption.

    Every second time it goes to where DreamBooth puts its identifier, before the first noun, else
    before any word.

    Args:
        caption: words with single spaces between them.
        rng: source of randomness.
    """
    pieces, most = (_LETTERS, 6) if rng.random() < 0.5 else (_SYLLABLES, 3)
    word = "".join(rng.choice(pieces, size=int(rng.integers(1, most + 1))))
    words = caption.split(" ")
    noun = 1 if words[0] in ("a", "an") else 0
    words.insert(noun if rng.random() < 0.5 else int(rng.integers(len(words))), word)
    return " ".join(words)


def _named(rng: np.random.Generator) -> tuple[bool, bool]:
    return bool(rng.random() < 0.92), bool(rng.random() < 0.85)


def _place(rng: np.random.Generator) -> tuple[float, float, float]:
    width = float(rng.uniform(0.8, 0.95))
    left, top = (float(rng.random()) * (1 - width) for _ in range(2))
    return left, top, width


def _place_pair(
    rng: np.random.Generator, swapped: bool
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Place two objects; the first named stands left unless swapped."""
    first, second = (float(rng.uniform(0.42, 0.5)) for _ in range(2))
    tops = [float(rng.random()) * (1 - width) for width in (first, second)]
    lefts = [float(rng.random()) * (0.5 - width) for width in (first, second)]
    lefts[0 if swapped else 1] += 0.5
    return (lefts[0], tops[0], first), (lefts[1], tops[1], second)
