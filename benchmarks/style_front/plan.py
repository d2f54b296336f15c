"""Which runs are done, in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["PLAN", "Planned"]


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


PLAN: dict[str, list[Planned]] = {
    "tuning": [
        *(Planned(arm, "line") for arm in ("plain", "keep_85")),
        *(
            Planned(arm, "openmoji")
            for arm in ("plain", "bridge_60", "keep_70", "at_once_60", "keep_85")
        ),
    ],
    "held_out": [],
}
