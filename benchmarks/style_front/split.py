"""Which styles are tuned on, which are held out, and what is drawn of them.

All of it was named before the first run. No style here is one that nano was trained on, and no
object that is drawn is in a training picture of any style.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdtune.nano.making.objects import with_article
from sdtune.nano.making.sources import SOURCES, Source

__all__ = ["PROMPTS", "SEEDS", "STYLES", "UNSEEN", "Side", "Style", "styles_of"]

Operation = Literal[
    "line", "ink", "mosaic", "stitch", "glass", "chalk", "neon", "riso", "crayon"
]  # fmt: skip
Side = Literal["tuning", "held_out"]


@dataclass(frozen=True)
class Style:
    """One style.

    Args:
        side: Whether settings are chosen on it, or only reported.
        source: The package of its drawings.
        pictures: How many training pictures there are.
        seed: Seed of places and backgrounds.
        operation: How the drawings are turned into another style; None leaves them as they are.
    """

    side: Side
    source: Source
    pictures: int
    seed: int
    operation: Operation | None = None


_STREAMLINE = Source(
    "streamline", "@iconify-json/streamline-emojis", "1.2.4", "CC-BY-4.0",
    "Streamline Emojis by Streamline",
)  # fmt: skip
_FXEMOJI = Source("fxemoji", "@iconify-json/fxemoji", "1.2.2", "Apache-2.0", "FxEmojis by Mozilla")
_MONO = Source(
    "mono", "@iconify-json/fluent-emoji-high-contrast", "1.2.6", "MIT",
    "Fluent Emoji by Microsoft (high contrast)",
)  # fmt: skip

STYLES: dict[str, Style] = {
    "openmoji": Style("tuning", SOURCES["openmoji"], 96, seed=301),
    "line": Style("tuning", SOURCES["twemoji"], 48, seed=302, operation="line"),
    "streamline": Style("held_out", _STREAMLINE, 72, seed=303),
    "fxemoji": Style("held_out", _FXEMOJI, 72, seed=304),
    "mono": Style("held_out", _MONO, 96, seed=305),
    "ink": Style("held_out", SOURCES["noto"], 48, seed=306, operation="ink"),
    "mosaic": Style("held_out", SOURCES["fluent"], 48, seed=307, operation="mosaic"),
    "stitch": Style("held_out", SOURCES["blob"], 48, seed=308, operation="stitch"),
    "glass": Style("held_out", SOURCES["emojione"], 48, seed=309, operation="glass"),
    "chalk": Style("held_out", SOURCES["flat"], 48, seed=310, operation="chalk"),
    "neon": Style("held_out", SOURCES["noto"], 48, seed=311, operation="neon"),
    "riso": Style("held_out", SOURCES["emojione"], 72, seed=312, operation="riso"),
    "crayon": Style("held_out", SOURCES["flat"], 48, seed=313, operation="crayon"),
}

# What is drawn, on which background. All vendors draw these, and no training picture shows one.
UNSEEN: dict[str, str] = {
    "cat": "purple", "turtle": "blue", "elephant": "pink", "octopus": "yellow",
    "mushroom": "pink", "rose": "green", "car": "yellow", "bicycle": "green",
    "sailboat": "orange", "rocket": "purple", "guitar": "red", "crown": "blue",
}  # fmt: skip

PROMPTS: tuple[str, ...] = tuple(
    f"{with_article(name)} on {'an' if colour == 'orange' else 'a'} {colour} background"
    for name, colour in UNSEEN.items()
)

SEEDS: tuple[int, ...] = (0, 1, 2, 3)


def styles_of(side: Side) -> list[str]:
    """Name the styles of one side of the split."""
    return [name for name, style in STYLES.items() if style.side == side]
