"""Sentences around a new word, so that it is learned as a word and not as one whole caption."""

from __future__ import annotations

from typing import Literal

__all__ = ["OBJECT_TEMPLATES", "STYLE_TEMPLATES", "LearnableProperty"]

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
