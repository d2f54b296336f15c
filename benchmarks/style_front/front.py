"""The front of style and content: how much style at what cost, with intervals.

A way to train has points: one for each strength, or for each rate of a script. They are joined by
straight lines, from the base's own point on, which is strength 0. Style is counted from the base's
style score, content as the share of the base's CLIP score that is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdtune.metrics.intervals import Interval, Resamples, interval_of, resample

__all__ = [
    "LEAST_KEPT",
    "Curve",
    "Pictures",
    "area",
    "intervals",
    "kept_more",
    "same_style_interval",
    "style_at",
]

LEAST_KEPT = 0.5
"""Share of the base's CLIP score from which on content counts in the area."""

_BETWEEN = 40  # places on each line


@dataclass(frozen=True)
class Curve:
    """The points of one way to train on one style, the base's first.

    Args:
        style: (P, N) style scores of N pictures at P points.
        clip: (P, N) CLIP scores.
    """

    style: Tensor
    clip: Tensor

    def places(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Give the places along the lines.

        Args:
            weights: (R, N), how often each picture counts.

        Returns:
            Style gained and share of the CLIP score kept, both (R, L).
        """
        share = weights / weights.sum(dim=1, keepdim=True)
        style, clip = share @ self.style.T, share @ self.clip.T  # (R, P)
        return _joined(style - style[:, :1]), _joined(clip / clip[:, :1])


def area(gained: Tensor, kept: Tensor) -> Tensor:
    """Compute the area that a front dominates: 1 is the whole style and no content lost.

    Args:
        gained: (R, L) style gained.
        kept: (R, L) share of the CLIP score kept.

    Returns:
        (R,), the union of the rectangles from (no style, `LEAST_KEPT`) to each place.
    """
    heights = ((kept - LEAST_KEPT) / (1.0 - LEAST_KEPT)).clamp(0.0, 1.0)
    widths, order = gained.clamp(0.0, 1.0).sort(dim=1)
    # from the right: what is kept with that much style or more
    best = heights.gather(1, order).flip(1).cummax(dim=1).values.flip(1)
    steps = torch.diff(widths, dim=1, prepend=torch.zeros_like(widths[:, :1]))
    return (steps * best).sum(dim=1)


def style_at(gained: Tensor, kept: Tensor, loss: float = 0.1) -> Tensor:
    """Find the most style at a loss of at most that share of the CLIP score: (R,)."""
    allowed = kept > 1.0 - loss - 1e-9  # a point of the grid may lie on it, but for rounding
    return torch.where(allowed, gained, torch.zeros_like(gained)).amax(dim=1)


@dataclass(frozen=True)
class Pictures:
    """Which prompt, seed and training each of N pictures is of.

    Args:
        prompts: (N,) numbers of prompts.
        seeds: (N,) seeds of the pictures' noise.
        trainings: (N,) seeds of the trainings that drew them.
    """

    prompts: Sequence[int]
    seeds: Sequence[int]
    trainings: Sequence[int]

    def resampled(self) -> Resamples:
        """Draw prompts, seeds and trainings anew, whole ones at a time."""
        of_pictures = resample(self.prompts, self.seeds)
        if len(set(self.trainings)) == 1:
            return of_pictures
        of_trainings = resample(self.trainings, [0] * len(self.trainings), seed=2)
        return Resamples(of_pictures.weights * of_trainings.weights, of_pictures.levels)


def intervals(
    measure: object,
    curves: Sequence[Curve],
    pictures: Pictures,
    less: Sequence[Curve] | None = None,
    draw_styles: bool = True,
) -> Interval:
    """Give the mean of a measure over styles, or of the difference of two ways, paired.

    Args:
        measure: `area` or `style_at`.
        curves: One per style, each of the same prompts, seeds and trainings.
        pictures: What these are.
        less: The curves that they are compared with, of the same styles and pictures.
        draw_styles: Whether the interval is over styles too, and not over prompts, seeds and
            trainings alone.

    Returns:
        The figure with its 95 % interval.
    """

    def of_each(weights: Tensor) -> Tensor:
        found = _of_each(measure, curves, weights)
        return found if less is None else found - _of_each(measure, less, weights)

    return _over_styles(of_each, len(curves), pictures, draw_styles)


def same_style_interval(
    curves: Sequence[Curve],
    others: Sequence[Curve],
    pictures: Pictures,
    draw_styles: bool = True,
) -> Interval:
    """Give the mean, over styles, of how much more is kept than by another way at the same style.

    Args:
        curves: One per style.
        others: Of the other way, of the same styles and pictures.
        pictures: What these are.
        draw_styles: As in `intervals`.

    Returns:
        The difference of `kept_more` with its 95 % interval.
    """

    def of_each(weights: Tensor) -> Tensor:
        pairs = zip(curves, others, strict=True)
        found = [kept_more(*own.places(weights), *other.places(weights)) for own, other in pairs]
        return torch.stack(found, dim=1)

    return _over_styles(of_each, len(curves), pictures, draw_styles)


def kept_more(gained: Tensor, kept: Tensor, others_gained: Tensor, others_kept: Tensor) -> Tensor:
    """Compare what two ways keep at the same style, up to the most that both of them reach.

    Args:
        gained: (R, L) style gained by the one.
        kept: (R, L) share of the content that it keeps.
        others_gained: (R, M) style gained by the other.
        others_kept: (R, M) share that it keeps.

    Returns:
        (R,), the mean difference of the most that is kept with that much style or more.
    """
    most = torch.minimum(gained.amax(dim=1), others_gained.amax(dim=1)).clamp(0.0, 1.0)
    styles = torch.linspace(0.0, 1.0, _BETWEEN + 1, dtype=gained.dtype)[1:] * most[:, None]
    return (_kept_at(gained, kept, styles) - _kept_at(others_gained, others_kept, styles)).mean(1)


def _kept_at(gained: Tensor, kept: Tensor, styles: Tensor) -> Tensor:
    ordered, order = gained.sort(dim=1)
    best = kept.gather(1, order).flip(1).cummax(dim=1).values.flip(1)
    places = torch.searchsorted(ordered.contiguous(), styles.contiguous())
    return best.gather(1, places.clamp(max=gained.shape[1] - 1))


def _over_styles(
    of_each: Callable[[Tensor], Tensor], count: int, pictures: Pictures, draw_styles: bool
) -> Interval:
    """Give the mean over styles of what is found of each: (R, N) weights -> (R, styles)."""
    drawn, many = pictures.resampled(), len(pictures.prompts)
    times = resample(list(range(count)), [0] * count, seed=1).weights if draw_styles else None
    levels = min(count, drawn.levels) if draw_styles else drawn.levels
    # rows: how often each picture counts, and behind it how often each style does
    rows = torch.ones(len(drawn.weights), count, dtype=torch.float64) if times is None else times
    both = Resamples(torch.cat([drawn.weights, rows], dim=1), levels)

    def figure(weights: Tensor) -> Tensor:
        styles = weights[:, many:]
        return (of_each(weights[:, :many]) * styles).sum(dim=1) / styles.sum(dim=1)

    return interval_of(figure, both)


def _of_each(measure: object, curves: Sequence[Curve], weights: Tensor) -> Tensor:
    assert callable(measure)
    return torch.stack([measure(*each.places(weights)) for each in curves], dim=1)


def _joined(points: Tensor) -> Tensor:
    """Put places between points: (R, P) -> (R, (P - 1) * _BETWEEN + 1)."""
    part = torch.linspace(0.0, 1.0, _BETWEEN + 1, dtype=points.dtype)[1:]
    lines = points[:, :-1, None] + part * (points[:, 1:] - points[:, :-1])[:, :, None]
    return torch.cat([points[:, :1], lines.flatten(1)], dim=1)
