"""Captions for a subject's pictures that have none: what else is to be seen, by a captioner."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from PIL import Image

from sdtune._prompt_fields import PromptFields, Subject
from sdtune._wording import counted, with_article
from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.registry import CAPTIONERS, load_captioner
from sdtune.data.caption_files import open_picture
from sdtune.data.described_subject import described
from sdtune.data.made_captions import MadeCaption, read_descriptions, write_descriptions
from sdtune.data.pictures import Picture
from sdtune.data.subject_captions import made_caption

__all__ = ["AUTO", "NONE", "captioner_for", "captioner_words", "check_captioner", "make_captions"]

log = logging.getLogger(__name__)

AUTO, NONE = "auto", "none"
_AT_ONCE = 8
_TITLES = {
    "blip": "`blip`, which describes photographs",
    "clip": "`clip`, nano's words for backgrounds",
    "wd": "`wd`, a tagger of drawings",
    "record": "an adapter's record",
    NONE: "the subject alone",
}


def check_captioner(captioner: str) -> None:
    """Check the argument of this name.

    Raises:
        ValueError: If there is no such captioner.
    """
    known = [AUTO, *CAPTIONERS, NONE]
    if captioner not in known:
        names = ", ".join(f"`{each}`" for each in known)
        raise ValueError(f"Expected `captioner` to be one of {names}, but got {captioner!r}.")


def captioner_for(captioner: str, base: str | None) -> str:
    """Choose what describes pictures.

    Args:
        captioner: The argument.
        base: The base that is trained; None if that is not known.

    Returns:
        For `auto`, `clip` where the base is nano, whose words it has, and else `blip`.
    """
    return captioner if captioner != AUTO else "clip" if base == "nano" else "blip"


def captioner_words(captioner: str) -> str:
    """Say what a captioner is, for the console."""
    return _TITLES.get(captioner, f"`{captioner}`")


def make_captions(
    pictures: Sequence[Picture],
    subject: Subject,
    alone: str,
    captioner: str,
    cache: Path,
    *,
    required: bool,
) -> list[MadeCaption]:
    """Describe pictures of a subject, once: what the cache knows is taken from there.

    Args:
        pictures: Pictures of the subject, without captions.
        subject: What they show.
        alone: What a picture is told of which nothing is said, such as "a photo of {subject}".
        captioner: Name of what describes them, or `none`.
        cache: The cache's folder.
        required: Whether a captioner that is not available is an error; else the captions name the
            subject alone, and a warning says why.

    Returns:
        A caption for each picture.

    Raises:
        ImportError: If the captioner is required and its package is missing.
        ValueError: If it is required and its model is not available here.
    """
    called = with_article(subject.noun)
    known = {} if captioner == NONE else read_descriptions(cache, captioner, called)
    new = [each for each in pictures if captioner != NONE and each.sha256 not in known]
    if new:
        try:
            found = list(_described(new, captioner, called))
        except (ImportError, OSError, ValueError) as error:
            if required:
                raise
            told = PromptFields.of_subjects([subject]).tuned(alone, "captioner")
            rank_zero_warn(
                f"No captions can be made, and each of {counted(len(pictures), 'picture')} is told "
                f"`{told}` and no more: {error} Or write captions beside the pictures, or give "
                "`--data.captioner none`."
            )
            captioner, known = NONE, {}
        else:
            known |= {each.sha256: text for each, text in zip(new, found, strict=True)}
            write_descriptions(cache, captioner, called, known)
    return [
        MadeCaption(each.name, each.sha256, _caption(known.get(each.sha256), subject, alone), by)
        for by in [captioner]
        for each in pictures
    ]


def _caption(text: str | None, subject: Subject, alone: str) -> str:
    """Make a caption of what was said; of no more than the subject's name, what is told alone."""
    caption = described(text or "", subject)
    return alone if caption == made_caption(subject, "") else caption


def _described(pictures: Sequence[Picture], captioner: str, called: str) -> Iterator[str]:
    """Say what is to be seen in each picture, the subject being called so."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded = load_captioner(captioner, CaptionerSettings(subject=called, device=device))
    log.info("Describing %d pictures by %s, once.", len(pictures), captioner_words(captioner))
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for first in range(0, len(pictures), _AT_ONCE):
            opened = list(pool.map(open_picture, [p.path for p in pictures[first:][:_AT_ONCE]]))
            images = [each for each in opened if isinstance(each, Image.Image)]
            if len(images) < len(opened):
                raise ValueError(next(each for each in opened if isinstance(each, str)))
            yield from loaded.describe(images)
