"""Which runs are done, in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COMPARED", "PLAN", "SHOWN", "Planned"]


@dataclass(frozen=True)
class Planned:
    """A run.

    Args:
        arm: Its name.
        style: Name of the style.
        seed: Seed of the training.
        points: Arguments of `runs.run`: strengths, seeds of pictures, parts that are switched off.
    """

    arm: str
    style: str
    seed: int = 42
    points: Mapping[str, Any] = field(default_factory=dict)


# The style axis tells these from the base's drawings in 87 to 100 of 100 cases, streamline in
# 63 and fxemoji in 54: what it says of those two is no style, and they do not count.
_COUNTED = ("ink", "mono", "mosaic", "stitch", "glass", "chalk", "neon", "riso", "crayon")

_WAYS = ("plain", "keep_85", "at_once_60")
_SCRIPTS = ("script_1e-3", "script_2e-3", "script_1e-4")
_VARIANTS = (
    "shift_85", "at_once_60_more_kept", "at_once_60_half", "at_once_60_kept", "at_once_60_more",
    "bridge_60", "keep_70", "soft_60_95", "at_once_85", "at_once_50", "at_once_70", "more_below_70",
)  # fmt: skip

# Parts of the UNet without which a trained LoRA is scored: B-LoRA's question, without training.
_WITHOUT = (("attn2.",), ("down_blocks.", "mid_block."), ("up_blocks.0.", "up_blocks.1."))


def _each(arms: Sequence[str], styles: Sequence[str], *seeds: int) -> list[Planned]:
    return [Planned(arm, style, seed) for seed in seeds for arm in arms for style in styles]


_TUNED = ("openmoji", "line")
_FIRST = [*_each((*_WAYS, *_SCRIPTS), _COUNTED, 42, 43), *_each(_VARIANTS[:1], _COUNTED, 42, 43)]
_CHOICE = _each((*_WAYS, *_VARIANTS), _TUNED, 42, 43)
_THEN = [
    *_each((*_WAYS, *_VARIANTS[:1]), _COUNTED, 44),
    *_each(_VARIANTS[1:5], _COUNTED, 42, 43),
    *_each(_SCRIPTS, _COUNTED, 44),
    *_each(_VARIANTS[5:], _COUNTED, 42),
]
_OFF = [Planned("plain", "openmoji", points={"off": off}) for off in _WITHOUT]

PLAN: dict[str, list[Planned]] = {
    "tuning": [*_CHOICE, *_OFF],
    "held_out": [*_FIRST, *_THEN],
    "both": [*_FIRST, *_CHOICE, *_THEN],
}

_STRENGTHS = ("0.7", "1", "1.4")

# What is compared: title -> arms, and the strengths of each, that make a line from the base on.
COMPARED: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "tuning": {
        "nothing kept": (("plain",), _STRENGTHS),
        "kept above 85 %": (("keep_85",), _STRENGTHS),
        "kept above 85 % but for the style's colour": (("shift_85",), _STRENGTHS),
        "bridge from 60 %": (("bridge_60",), _STRENGTHS),
        "bridge at once from 60 %": (("at_once_60",), _STRENGTHS),
    },
    "held_out": {
        "nothing kept": (("plain",), _STRENGTHS),
        "kept above 85 %": (("keep_85",), _STRENGTHS),
        "kept above 85 % but for the style's colour": (("shift_85",), _STRENGTHS),
        "bridge at once from 60 %": (("at_once_60",), _STRENGTHS),
        "a common script": (
            ("script_1e-4", "script_1e-3", "script_2e-3"),
            ("1",),
        ),
    },
}

# What the project's README shows of it: title -> its name there.
SHOWN = {
    "kept above 85 % but for the style's colour": "the recipe",
    "nothing kept": "the recipe without `keep_content_above`",
    "a common script": "a common script at three rates",
}
