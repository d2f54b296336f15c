"""What is checked of a subject's arguments without reading a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "check_noun",
    "check_one_prompt",
    "check_replacements",
    "check_templates",
    "check_texts",
]

_SLOT = "{}"


def check_texts(name: str, texts: Sequence[str | None] | None) -> None:
    """Check that an argument holds texts, or None.

    Args:
        name: The argument.
        texts: What was given.

    Raises:
        ValueError: If there are none, or one of them is empty.
    """
    if texts is not None and not (texts and all(t is None or t.strip() for t in texts)):
        raise ValueError(f"Expected `{name}` to be a text, but got {list(texts)!r}.")


def check_noun(class_noun: str | None, subject_name: str | None) -> None:
    """Check what a subject is called.

    Raises:
        ValueError: If the noun is empty or holds braces or angle brackets, or is missing beside a
            name.
    """
    if class_noun is None and subject_name is not None:
        raise ValueError(
            f"Expected `class_noun` to be given with `subject_name` {subject_name!r}, for the base "
            "reads it in its place, but got None."
        )
    if class_noun is not None and (not class_noun.strip() or set(class_noun) & set("{}<>")):
        raise ValueError(
            "Expected `class_noun` to say what kind of thing the subject is, such as `robot`, but "
            f"got {class_noun!r}."
        )


def check_one_prompt(prompts: Sequence[str] | None, class_dir: str | Path | None) -> None:
    """Check that there is one prompt at most for all pictures of a folder.

    Raises:
        ValueError: If there are more.
    """
    if class_dir is not None and prompts is not None and len(prompts) > 1:
        raise ValueError(
            "Expected `class_prompt` to be one text for all pictures in `class_dir`, or None for "
            f"the captions beside them, but got {len(prompts)} texts, which are for pictures that "
            f"are drawn: {list(prompts)!r}. Give `--data.class_prompt` with one, such as "
            '"a photo of a cat", or null.'
        )


def check_templates(templates: Sequence[str] | None) -> None:
    """Check that templates have a place for the prompt.

    Raises:
        ValueError: If one has none.
    """
    if isinstance(templates, str) or (
        templates is not None and not (templates and all(_SLOT in each for each in templates))
    ):
        raise ValueError(
            "Expected `prompt_templates` to be `object`, `style` or a list of texts with `{}` "
            f"where the prompt goes, but got {templates!r}."
        )


def check_replacements(replacements: Mapping[str, str] | None, prompt: str | None) -> None:
    """Check that there are captions to replace words of, and words.

    Raises:
        ValueError: If a prompt stands in the captions' place, or a word is empty.
    """
    if replacements and prompt is not None:
        raise ValueError(
            "Expected `instance_prompt` to be None with `caption_replacements`, which change the "
            f"captions beside the pictures, but got {prompt!r}."
        )
    if replacements is not None and not all(word.strip() for word in replacements):
        raise ValueError(
            f"Expected the words of `caption_replacements` not to be empty, but got {replacements}."
        )
