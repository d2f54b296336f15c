"""Samples of random pictures, seen by tiny judges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sdtune.metrics.judges import Judges
from sdtune.metrics.samples import Pictures, Reference, Samples, see

__all__ = ["FixedStyle", "make_reference", "make_samples", "part", "pixel_distance"]

PROMPTS = ["a cat", "a dog", "an apple"]
_VIEWS = ("clip", "dino", "grey")


class FixedStyle:
    """A judge of style that looks at the red of a picture."""

    def scores(self, images: Tensor) -> Tensor:
        return images[:, 0].mean(dim=(1, 2))


def pixel_distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).abs().mean(dim=(1, 2, 3))


def make_reference(judges: Judges, training: Tensor, held_out: Tensor | None = None) -> Reference:
    rest = training[:0] if held_out is None else held_out
    known = torch.cat([training, rest])
    views, count = see([known], judges, _seen(judges)), len(training)
    return Reference(
        judges,
        PROMPTS,
        Pictures({name: rows[:count] for name, rows in views.items()}, training),
        Pictures({name: rows[count:] for name, rows in views.items()}, rest),
        read=lambda: iter([training]),
    )


def make_samples(
    reference: Reference,
    images: Tensor,
    class_images: Tensor | None = None,
    base: Samples | None = None,
    prompt_ids: Sequence[int] | None = None,
) -> Samples:
    """The samples of as many prompts as there are pictures, a third of them each."""
    judges = reference.judges
    ids = prompt_ids or [3 * number // len(images) for number in range(len(images))]

    def seen(of: Tensor) -> Pictures:
        return Pictures(see([of], judges, _seen(judges)), of)

    return Samples(
        seen(images), ids, reference, None if class_images is None else seen(class_images), base
    )


def part(samples: Samples, first: int, last: int) -> Samples:
    """Some of the samples, and of the class pictures, as if they had come alone."""

    def cut(pictures: Pictures | None) -> Pictures | None:
        if pictures is None or pictures.images is None:
            return pictures
        views = {name: rows[first:last] for name, rows in pictures.views.items()}
        return Pictures(views, pictures.images[first:last])

    pictures = cut(samples.pictures)
    assert pictures is not None
    return replace(
        samples,
        pictures=pictures,
        prompt_ids=samples.prompt_ids[first:last],
        class_pictures=cut(samples.class_pictures),
        base=None if samples.base is None else part(samples.base, first, last),
        _found={},
    )


def _seen(judges: Judges) -> list[str]:
    return [each for each in _VIEWS if each == "grey" or getattr(judges, each) is not None]
