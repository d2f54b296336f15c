"""All captioners, by the names that people call them by."""

from __future__ import annotations

from collections.abc import Callable

from sdtune.captioning.blip import BlipCaptioner
from sdtune.captioning.captioner import Captioner, CaptionerSettings
from sdtune.captioning.clip_words import ClipWordsCaptioner
from sdtune.captioning.wd_tagger import WDTagger

__all__ = ["CAPTIONERS", "load_captioner", "register"]

CAPTIONERS: dict[str, Callable[[CaptionerSettings], Captioner]] = {}
"""Name -> what loads it, and raises ValueError in one sentence if it is not available here."""


def register(name: str, load: Callable[[CaptionerSettings], Captioner]) -> None:
    """Add a captioner.

    Args:
        name: What `sdtune caption --captioner` calls it.
        load: Loads it.

    Raises:
        ValueError: If another has the name.
    """
    if name in CAPTIONERS:
        raise ValueError(f"Expected a captioner of a new name, but `{name}` is registered.")
    CAPTIONERS[name] = load


def load_captioner(name: str, settings: CaptionerSettings) -> Captioner:
    """Load a captioner.

    Args:
        name: One of `CAPTIONERS`.
        settings: What it is asked for.

    Returns:
        The captioner.

    Raises:
        ValueError: If there is none of that name, settings are out of their ranges, or its model
            is not available here; one sentence says what to do.
    """
    if name not in CAPTIONERS:
        names = ", ".join(f"`{each}`" for each in CAPTIONERS)
        raise ValueError(f"Expected `captioner` to be one of {names}, but got {name!r}.")
    settings.check()
    return CAPTIONERS[name](settings)


register("blip", BlipCaptioner.load)
register("clip", ClipWordsCaptioner.load)
register("wd", WDTagger.load)
