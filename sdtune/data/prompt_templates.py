"""Sentences around a new word, so that it is learned as a word and not as one whole caption."""

from __future__ import annotations

from typing import Literal, get_args

from sdtune.functional.randomness import Stream, counter_uniform

__all__ = [
    "OBJECT_TEMPLATES",
    "STYLE_TEMPLATES",
    "LearnableProperty",
    "check_learnable_property",
    "choose_template",
    "fill_templates",
]

LearnableProperty = Literal["object", "style"]

OBJECT_TEMPLATES = (
    "a picture of a {}",
    "a snapshot of the {}",
    "an image that shows a {}",
    "one {} and nothing else",
    "the {} seen from nearby",
    "the {} seen from far away",
    "a {} that fills the frame",
    "a {} in the middle of the frame",
    "a {} near the edge of the frame",
    "a small {}",
    "a large {}",
    "here is the {}",
    "this is a {}",
    "that {} again",
    "a portrait of the {}",
    "a detailed view of the {}",
    "a {} in bright light",
    "a {} in dim light",
    "a {} in front of a plain wall",
    "a {} on a coloured background",
    "a sharp image of the {}",
    "a slightly blurred image of a {}",
    "somebody's {}",
    "an ordinary view of the {}",
    "a beautiful {}",
    "a single {} to look at",
    "the {}, unmistakably",
)

STYLE_TEMPLATES = (
    "a picture in the style of {}",
    "an artwork in the style of {}",
    "something drawn in the style of {}",
    "the look of {}",
    "an illustration, {} style",
    "a scene the way {} would show it",
    "a work that follows {}",
    "a sheet of sketches in the style of {}",
    "a small study in the style of {}",
    "a finished piece in the style of {}",
    "a colourful image with the look of {}",
    "a quiet image with the look of {}",
    "a detailed image with the look of {}",
    "a rough draft with the look of {}",
    "a poster made in the manner of {}",
    "a page illustrated in the manner of {}",
    "everyday things in the manner of {}",
    "an imitation of {}",
    "this is {}",
)

_TEMPLATES: dict[LearnableProperty, tuple[str, ...]] = {
    "object": OBJECT_TEMPLATES,
    "style": STYLE_TEMPLATES,
}


def check_learnable_property(learnable_property: str) -> None:
    """Check the name of a set of templates.

    Args:
        learnable_property: What the user typed.

    Raises:
        ValueError: If it is none of them.
    """
    allowed = get_args(LearnableProperty)
    if learnable_property not in allowed:
        names = " or ".join(f"`{each}`" for each in allowed)
        raise ValueError(
            f"Expected `learnable_property` to be {names}, but got `{learnable_property}`."
        )


def choose_template(
    learnable_property: LearnableProperty, seed: int, epoch: int, index: int
) -> str:
    """Choose the sentence of one sample.

    Args:
        learnable_property: What the new word stands for.
        seed: The seed of the data.
        epoch: The epoch.
        index: Position of the sample in the data set.

    Returns:
        A template with one `{}`, the same wherever and whenever it is asked for.
    """
    templates = _TEMPLATES[learnable_property]
    return templates[int(counter_uniform(seed, Stream.TEMPLATE, epoch, index) * len(templates))]


def fill_templates(learnable_property: LearnableProperty, words: str) -> list[str]:
    """Put words into every template of a set.

    Args:
        learnable_property: What the words stand for.
        words: Such as `<erica>`.

    Returns:
        All captions that samples may get, in the order of the templates.
    """
    return [template.format(words) for template in _TEMPLATES[learnable_property]]
