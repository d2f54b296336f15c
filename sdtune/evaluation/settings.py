"""What an evaluation is asked to do, checked before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sdtune._checks import check_all, check_not_negative, check_number, check_positive
from sdtune._prompt_fields import PromptFields
from sdtune.run_folder.record import EvaluationSettings

__all__ = [
    "asked_size",
    "check_distinct",
    "check_settings",
    "check_sides",
    "check_texts",
    "fields_of",
    "filled_settings",
]


def fields_of(data: object) -> PromptFields:
    """Find what may stand in braces in prompts.

    Args:
        data: A data module, or None.

    Returns:
        Its fields; none if it knows of none.
    """
    fields = getattr(data, "prompt_fields", None)
    return fields if isinstance(fields, PromptFields) else PromptFields()


def filled_settings(
    protocol: EvaluationSettings, fields: PromptFields, of: str = "EvaluationCallback."
) -> EvaluationSettings:
    """Fill the fields of prompts: those of the class read the noun for `{subject}`, too.

    Args:
        protocol: The protocol.
        fields: What they read.
        of: What stands before the arguments' names in an error.

    Returns:
        The same without fields.

    Raises:
        ValueError: If a field is not known, or two prompts become one.
    """
    filled = replace(
        protocol,
        prompts=[fields.tuned(each, f"{of}prompts") for each in protocol.prompts],
        class_prompts=[fields.plain(each, f"{of}class_prompts") for each in protocol.class_prompts],
    )
    check_settings(filled)
    return filled


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
        lambda: check_sides(protocol.width, protocol.height),
    )


def check_sides(width: int | None, height: int | None) -> None:
    """Check the size of pictures; None, which takes the model's own side, is right.

    Args:
        width: In pixels.
        height: In pixels.

    Raises:
        ValueError: If one is no positive multiple of 8; with a line for each.
    """
    check_all(lambda: _check_side("width", width), lambda: _check_side("height", height))


def asked_size(width: int | None, height: int | None) -> dict[str, int]:
    """Give the sides that were asked for, as arguments of `Technique.generate`."""
    return {name: side for name, side in (("width", width), ("height", height)) if side is not None}


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


def _check_side(name: str, side: int | None) -> None:
    if side is not None:
        check_number(name, side, "positive integer, a multiple of 8")
    if side is not None and (side <= 0 or side % 8):
        raise ValueError(f"Expected `{name}` to be a positive multiple of 8, but got {side}.")


def _check_intervals(name: str, prompts: Sequence[str], seeds: Sequence[int]) -> None:
    if len(prompts) == 1 and len(seeds) == 1:
        raise ValueError(
            f"Expected `{name}` or `seeds` to hold at least two values, for an interval, but got "
            "one of each."
        )
