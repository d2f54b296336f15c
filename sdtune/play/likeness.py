"""What the page is set to so that it draws a picture again, and what it cannot have of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sdtune.drawing.drawer import Drawer
from sdtune.drawing.settings import PictureSettings, UsedAdapter
from sdtune.play.offered import OfferedAdapter
from sdtune.play.studio import Asked

__all__ = ["LARGEST_SEED", "LARGEST_STRENGTH", "Likeness", "likeness"]

LARGEST_STRENGTH = 1.2
"""Of the page's sliders."""

LARGEST_SEED = 2**53 - 1
"""Above it a number in a page is another one."""

_LONGEST_NAME = 60  # characters that are shown of what a stranger may have written


@dataclass(frozen=True)
class Likeness:
    """Settings of a picture in the page.

    Attributes:
        asked: What the page is set to.
        notes: What will be otherwise than in the picture, a sentence each.
    """

    asked: Asked
    notes: list[str]


def likeness(
    settings: PictureSettings, drawer: Drawer, offered: Sequence[OfferedAdapter]
) -> Likeness:
    """Take a picture's settings over. Nothing that it names is looked for but what is offered.

    Args:
        settings: The picture's, in their ranges.
        drawer: The base that is loaded.
        offered: The adapters that were given; they are found by their hashes.

    Returns:
        What the page is set to.
    """
    notes = list(_differences(settings, drawer))
    checkpoints = [each.first for each in offered]
    strengths = [0.0] * len(offered)
    for used in settings.adapters:
        name = used.name[:_LONGEST_NAME]
        place = _place(used, offered)
        if place is None:
            notes.append(
                f"Its adapter `{name}`, with the hash {used.sha256[:10]}, is not in this page: "
                "start `sdtune play` with it."
            )
            continue
        number, checkpoints[place[0]] = place
        strengths[number] = min(max(used.strength, 0.0), LARGEST_STRENGTH)
        if strengths[number] != used.strength:
            notes.append(
                f"Its adapter `{name}` has the strength {used.strength:g}; the page's go from 0 to "
                f"{LARGEST_STRENGTH:g}."
            )
    if settings.seed > LARGEST_SEED:
        notes.append(f"Its seed is {settings.seed}; the page's go up to {LARGEST_SEED}.")
    asked = Asked(
        prompt=settings.prompt,
        checkpoints=tuple(checkpoints),
        strengths=tuple(strengths),
        negative_prompt=settings.negative_prompt,
        seed=min(settings.seed, LARGEST_SEED),
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        sampler=settings.sampler,
        width=settings.width or drawer.resolution,
        height=settings.height or drawer.resolution,
    )
    return Likeness(asked, notes)


def _place(used: UsedAdapter, offered: Sequence[OfferedAdapter]) -> tuple[int, str] | None:
    for number, each in enumerate(offered):
        key = each.find(used.sha256)
        if key is not None:
            return number, key
    return None


def _differences(settings: PictureSettings, drawer: Drawer) -> Iterator[str]:
    base = drawer.base
    if settings.base.unet_sha256 != base.unet_sha256:
        source = settings.base.source[:_LONGEST_NAME]
        yield f"It was drawn with the base `{source}`; this page draws with `{base.source}`."
    if settings.precision != drawer.precision:
        yield f"It was drawn in {settings.precision}; this page draws in {drawer.precision}."
