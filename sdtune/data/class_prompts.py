"""What class pictures show: prompts that are given, and those that the photos' captions make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from sdtune._prompt_fields import Subject
from sdtune.data.subject_captions import with_article

__all__ = ["CAPTION", "check_captions_of_class", "class_caption", "with_captions"]

CAPTION = "{caption}"
"""As a class prompt: the caption of each picture of the subject, with its class instead of it."""


def check_captions_of_class(
    prompts: Sequence[str] | None, class_noun: str | None, class_dir: str | Path | None
) -> None:
    """Check that captions can be told of the class.

    Raises:
        ValueError: If they stand in another text, or it is not known what the class is called, or
            there is nothing to draw.
    """
    asked = [each for each in prompts or [] if CAPTION in each]
    if any(each.strip() != CAPTION for each in asked):
        raise ValueError(
            f"Expected `{CAPTION}` to be a text of its own in `class_prompt`, but got {asked!r}."
        )
    if asked and (class_noun is None or class_dir is not None):
        reason = "without a `class_noun`" if class_noun is None else "with a `class_dir`"
        raise ValueError(
            f"Expected other texts than `{CAPTION}` in `class_prompt` {reason}, but got "
            f"{list(prompts or [])!r}."
        )


def class_caption(caption: str, subject: Subject) -> str:
    """Put the class where a caption has the subject.

    Args:
        caption: Such as "an erica robot on grass".
        subject: The subject.

    Returns:
        "a robot on grass".
    """
    for words, of_class in (
        (subject.tuned, subject.noun),
        (subject.placeholder, subject.replaced),
    ):
        if words:
            caption = _replaced(caption, words, of_class)
    if subject.identifier.strip() and not (subject.placeholder or subject.name):
        # before what the caption calls the subject
        pattern = rf"(?<!\w)(an? )?{re.escape(subject.identifier.strip())} (\w+)"
        caption = re.sub(pattern, _with_its_article, caption)
    return caption


def with_captions(
    prompts: Sequence[str], captions: Iterable[str], subject: Subject | None
) -> list[str]:
    """Put what captions say of the class in the place of `CAPTION`.

    Args:
        prompts: The class prompts.
        captions: Those of the subject's pictures, as they are trained with.
        subject: The subject.

    Returns:
        The prompts, each caption once; those that are no captions are as they were.
    """
    if subject is None or CAPTION not in prompts:
        return list(prompts)
    told = list(dict.fromkeys(class_caption(each, subject) for each in captions if each))
    return [one for each in prompts for one in (told if each == CAPTION else [each])]


def _replaced(caption: str, words: str, of_class: str) -> str:
    caption = re.sub(rf"(?<!\w)an? {re.escape(words)}(?!\w)", with_article(of_class), caption)
    return re.sub(rf"(?<!\w){re.escape(words)}(?!\w)", of_class, caption)


def _with_its_article(match: re.Match[str]) -> str:
    return with_article(match[2]) if match[1] else match[2]
