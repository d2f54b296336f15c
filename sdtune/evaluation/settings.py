"""What an evaluation is asked to do, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune.run_folder.record import EvaluationSettings

__all__ = ["check_distinct", "check_settings", "check_texts"]


def check_settings(protocol: EvaluationSettings) -> None:
    """Check what shall be drawn.

    Args:
        protocol: The protocol.

    Raises:
        ValueError: If it cannot be drawn, or gives no intervals; with a line for each problem.
    """
    check_all(
        lambda: check_texts("prompts", protocol.prompts),
        lambda: check_distinct("seeds", protocol.seeds),
        lambda: check_texts("class_prompts", protocol.class_prompts or ["none"]),
        lambda: _check_intervals("prompts", protocol.prompts, protocol.seeds),
        lambda: _check_intervals("class_prompts", protocol.class_prompts, protocol.seeds),
        lambda: check_positive("num_inference_steps", protocol.num_inference_steps, of="integer"),
        lambda: check_not_negative("guidance_scale", protocol.guidance_scale),
    )


def check_texts(name: str, texts: Sequence[str]) -> None:
    """Check that an argument lists texts, none of them empty or there twice.

    Args:
        name: The argument.
        texts: What was given.

    Raises:
        ValueError: If it does not.
    """
    check_distinct(name, texts)
    if not all(text.strip() for text in texts):
        raise ValueError(f"Expected `{name}` to be texts, but one of them is empty.")


def check_distinct(name: str, values: Sequence[Any]) -> None:
    """Check that an argument lists at least one value, and none twice.

    Args:
        name: The argument.
        values: What was given; a text is no list.

    Raises:
        ValueError: If it does not.
    """
    if isinstance(values, str) or not values or len(set(values)) != len(values):
        raise ValueError(
            f"Expected `{name}` to be a list of at least one value, all different, but got "
            f"{values!r}."
        )


def _check_intervals(name: str, prompts: Sequence[str], seeds: Sequence[int]) -> None:
    if len(prompts) == 1 and len(seeds) == 1:
        raise ValueError(
            f"Expected `{name}` or `seeds` to hold at least two values, for an interval, but got "
            "one of each."
        )
