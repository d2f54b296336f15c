"""What describes pictures, and how it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from sdtune._checks import check_all, check_share

__all__ = ["Captioner", "CaptionerSettings"]


class Captioner(Protocol):
    """A model that describes pictures.

    A new one is a file with such a class and a line in `sdtune.captioning.registry`.
    """

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """Describe pictures.

        Args:
            images: 8-bit RGB pictures of any sizes.

        Returns:
            A caption for each, on one line; an empty one if there is nothing to say.
        """
        ...


@dataclass(frozen=True)
class CaptionerSettings:
    """What a captioner is asked for; each takes what concerns it.

    Args:
        model: A Hugging Face id, a folder or a file; None is the captioner's own.
        subject: What all the pictures show, such as "a robot"; what is beside it is described.
        threshold: How sure a tagger is of a tag, in [0, 1].
        character_threshold: How sure it is of the name of a character, in [0, 1].
        words: A text file with phrases to choose from, one a line; one of each block is chosen,
            and blank lines divide blocks.
        device: Where the model runs, such as `cuda`.
    """

    model: str | None = None
    subject: str = ""
    threshold: float = 0.35
    character_threshold: float = 0.35
    words: Path | None = None
    device: str = "cpu"

    def check(self) -> None:
        """Check what can be checked without a model.

        Raises:
            ValueError: If values are out of their ranges, with a line for each.
        """
        check_all(
            lambda: check_share("threshold", self.threshold),
            lambda: check_share("character_threshold", self.character_threshold),
        )
