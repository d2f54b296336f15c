"""Captions put together out of phrases that a CLIP finds to fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.grounds import find_ground
from sdtune.metrics.features import CLIPEmbedder, load_clip
from sdtune.nano.making.objects import OBJECTS, with_article
from sdtune.nano.making.scenes import PALETTE, PATTERNS, Background

__all__ = ["ClipWordsCaptioner", "nano_ground", "nano_phrases", "read_phrases"]

_NANO = "nano"
_TEXTS_AT_ONCE = 256


class ClipWordsCaptioner:
    """Chooses a phrase of each block in turn, the one that fits the picture best.

    The phrases of a block are compared behind those that were chosen before, "a cat on grass"
    with "a cat on a beach" (Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 3.1).

    Args:
        clip: The CLIP.
        blocks: Blocks of phrases: first what may stand in a picture, then where, and so on.
        subject: What all the pictures show; takes the place of the first block's phrase. That is
            chosen all the same, for what the CLIP takes the subject for tells it best apart from
            what is beside it.
        look: Finds the last block's phrase in the picture itself; None where it cannot, and then
            the CLIP chooses.
    """

    def __init__(
        self,
        clip: CLIPEmbedder,
        blocks: Sequence[Sequence[str]],
        subject: str = "",
        look: Callable[[Image.Image], str | None] | None = None,
    ) -> None:
        self._clip = clip
        self._blocks = [list(block) for block in blocks]
        self._subject = subject.strip()
        self._look = look
        self._vectors: dict[str, Tensor] = {}

    @classmethod
    def load(cls, settings: CaptionerSettings) -> ClipWordsCaptioner:
        """Load a CLIP, by default nano's, which knows drawings like nano's and their backgrounds.

        Args:
            settings: `model`, a CLIP of transformers; `words`; `subject`; `device`.

        Returns:
            The captioner.

        Raises:
            ValueError: If the CLIP is not available here, or there are no words for it.
        """
        model = settings.model or _NANO
        if settings.words is not None:
            blocks = read_phrases(settings.words)
        elif model == _NANO:
            blocks = nano_phrases()
        else:
            raise ValueError(
                f"Expected `words` to name a file of phrases for {model} to choose from, but it "
                "is missing: what may stand in the pictures, one phrase a line, then a blank line, "
                "then where, such as `on grass`."
            )
        clip = load_clip(model)
        clip.to(settings.device)
        look = nano_ground if model == _NANO and settings.words is None else None
        return cls(clip, blocks, settings.subject, look)

    def describe(self, images: Sequence[Image.Image]) -> list[str]:
        """Choose phrases for pictures, see `Captioner.describe`."""
        pixels = [_to_pixels(image) for image in images]
        vectors = self._clip.embed_images(pixels)
        return [
            self._phrases_for(vector, self._look(image) if self._look else None)
            for vector, image in zip(vectors, images, strict=True)
        ]

    def _phrases_for(self, picture: Tensor, seen: str | None) -> str:
        chosen: list[str] = []
        for block in self._blocks:
            if seen and len(chosen) == len(self._blocks) - 1:
                chosen.append(seen)
                break
            before = " ".join(chosen)
            if before not in self._vectors:
                self._vectors[before] = self._embedded([f"{before} {each}" for each in block])
            chosen.append(block[int((self._vectors[before] @ picture).argmax())])
        if self._subject:
            chosen[0] = self._subject
        return " ".join(chosen)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        parts = [texts[n : n + _TEXTS_AT_ONCE] for n in range(0, len(texts), _TEXTS_AT_ONCE)]
        return torch.cat([self._clip.embed_texts([each.strip() for each in p]) for p in parts])


def nano_phrases() -> list[list[str]]:
    """List the things that nano draws and the backgrounds that it draws them on."""
    plain = [Background("plain", (colour,)) for colour in PALETTE]
    patterned = [
        Background(pattern, colours)
        for pattern in PATTERNS
        if pattern != "plain"
        for colours in permutations(PALETTE, 2)
    ]
    return [[with_article(name) for name in OBJECTS], list(map(_on, plain + patterned))]


def nano_ground(image: Image.Image) -> str | None:
    """Name the background of a picture in nano's words, see `find_ground`."""
    ground = find_ground(image)
    return None if ground is None else _on(ground)


def read_phrases(path: Path) -> list[list[str]]:
    """Read blocks of phrases.

    Args:
        path: A UTF-8 text with a phrase a line; blank lines divide blocks.

    Returns:
        At least one block, none of them empty.

    Raises:
        ValueError: If the file cannot be read or holds no phrase.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"Expected `words` to name a UTF-8 text, but {path}: {error}.") from error
    blocks: list[list[str]] = [[]]
    for line in (" ".join(each.split()) for each in lines):
        if line:
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    found = [block for block in blocks if block]
    if not found:
        raise ValueError(f"Expected {path} to hold phrases, one a line, but it is empty.")
    return found


def _on(ground: Background) -> str:
    return f"on {with_article(ground.caption)}"


def _to_pixels(image: Image.Image) -> Tensor:
    """Scale a picture: (3, H, W) in [0, 1]."""
    pixels = torch.from_numpy(np.array(image)).float() / 255
    return pixels.permute(2, 0, 1)  # (H, W, 3) -> (3, H, W)
