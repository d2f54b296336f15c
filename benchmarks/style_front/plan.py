"""Which runs are done, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["COMPARED", "PLAN", "Planned"]


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

_COMPARED = ("plain", "keep_85", "at_once_60", "script_1e-3", "script_2e-3", "script_1e-4")
_FURTHER = ("at_once_60_half", "bridge_60", "keep_70", "soft_60_95", "at_once_85")

# Parts of the UNet without which a trained LoRA is scored: B-LoRA's question, without training.
_WITHOUT = (("attn2.",), ("down_blocks.", "mid_block."), ("up_blocks.0.", "up_blocks.1."))

PLAN: dict[str, list[Planned]] = {
    "tuning": [
        *(Planned(arm, "openmoji") for arm in ("plain", "bridge_60", "at_once_60", "keep_85")),
        *(Planned("plain", "openmoji", points={"off": off}) for off in _WITHOUT),
        *(Planned(arm, "line") for arm in ("plain", "keep_85", "at_once_60", "keep_70")),
        *(Planned(arm, "openmoji") for arm in ("keep_70", "no_reading", "other_85", "below_70")),
    ],
    "held_out": [
        *(Planned(arm, style, 42) for arm in _COMPARED[:3] for style in _COUNTED),
        *(Planned(arm, style, 42) for arm in _COMPARED[3:] for style in _COUNTED),
        *(Planned(arm, style, 43) for arm in _COMPARED for style in _COUNTED),
        *(Planned("at_once_60_half", style, 42) for style in _COUNTED),
        *(Planned("bridge_60", style, 42) for style in _COUNTED),
        *(Planned(arm, style, 44) for arm in _COMPARED[:3] for style in _COUNTED),
        *(Planned(arm, style, 43) for arm in _FURTHER[:2] for style in _COUNTED),
        *(Planned(arm, style, 42) for arm in _FURTHER[2:] for style in _COUNTED),
        *(Planned(arm, style, 44) for arm in _COMPARED[3:] for style in _COUNTED),
    ],
}

# What is compared: title -> arms, and the strengths of each, that make a line from the base on.
COMPARED: dict[str, dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "tuning": {
        "nothing kept": (("plain",), ("0.7", "1", "1.4")),
        "kept above 85 %": (("keep_85",), ("0.7", "1", "1.4")),
        "bridge from 60 %": (("bridge_60",), ("0.7", "1", "1.4")),
        "bridge at once from 60 %": (("at_once_60",), ("0.7", "1", "1.4")),
    },
    "held_out": {
        "nothing kept": (("plain",), ("0.7", "1", "1.4")),
        "kept above 85 %": (("keep_85",), ("0.7", "1", "1.4")),
        "bridge at once from 60 %": (("at_once_60",), ("0.7", "1", "1.4")),
        "a common script": (
            ("script_1e-4", "script_1e-3", "script_2e-3"),
            ("1",),
        ),
    },
}
