"""How far a picture is in the style of the training set, whatever it shows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sdtune._checks import check_all, check_positive
from sdtune.metrics.images import check_training_pictures
from sdtune.metrics.judges import given
from sdtune.metrics.metric import SampleMetric
from sdtune.metrics.samples import Samples

__all__ = ["STYLE_SCORE", "StyleAxis", "fit_style_axis", "style_score"]

_FOLDS = 5


class StyleAxis(NamedTuple):
    """The direction in which training pictures differ from others of the same things.

    Attributes:
        direction: (D,) float64.
        zero: Where on it pictures of the other style lie that it was not fitted on.
        one: Where pictures of the training style lie that it was not fitted on.
        accuracy: How often a picture of the training style lies above one of the other, both not
            fitted on: 0.5 if the features do not see the style, 1 if they always do.
    """

    direction: Tensor
    zero: float
    one: float
    accuracy: float


def fit_style_axis(training: Tensor, contrast: Tensor, ridge: float = 0.01) -> StyleAxis:
    """Find Fisher's linear discriminant between a style and its contrast (Fisher 1936).

    The likeness of two pictures' features is mostly that of what they show: two drawings of one
    thing are closer than two drawings by one hand. Here both sides show the same things, so what
    they show falls out of their difference; and directions in which the pictures of one side vary
    among themselves count little.

    Args:
        training: (M, D) features of the training pictures.
        contrast: (K, D) features of pictures of the same captions in another style, which the base
            draws; in the order of `training` if there are as many.
        ridge: What is added to the variances, in units of their mean.

    Returns:
        The axis, scaled by five-fold cross-validation.

    Raises:
        ValueError: If a side has fewer than two pictures, or `ridge` is not positive.
    """
    check_all(
        lambda: check_training_pictures(training),
        lambda: _check_contrast(contrast),
        lambda: check_positive("ridge", ridge),
    )
    ours, others = training.cpu().double(), contrast.cpu().double()
    direction = _discriminant(ours, others, ridge)
    left_out = [_left_out(ours, others, ridge, fold) for fold in range(_FOLDS)]
    high, low = (torch.cat([pair[side] for pair in left_out]) for side in (0, 1))
    middle, half = _middle(ours @ direction, others @ direction)
    # the folds' scales are relative: -1 and 1 are the means that an axis was fitted on
    zero, one = (float(middle + half * side.mean()) for side in (low, high))
    accuracy = float((high[:, None] > low[None, :]).double().mean())
    return StyleAxis(direction, zero, one, accuracy)


def style_score(images: Tensor, axis: StyleAxis) -> Tensor:
    """Place pictures between the contrast and the training style.

    Args:
        images: (B, D) features of pictures.
        axis: As `fit_style_axis` finds it.

    Returns:
        (B,) float32: 0 where new pictures of the contrast lie on average, 1 where new pictures of
        the training style do.
    """
    places = images.cpu().double() @ axis.direction
    return ((places - axis.zero) / (axis.one - axis.zero)).float()


def _discriminant(ours: Tensor, others: Tensor, ridge: float) -> Tensor:
    """Solve (S + r I) w = difference of means, with S = R^T R the covariance within the sides."""
    difference = ours.mean(dim=0) - others.mean(dim=0)
    residuals = torch.cat([ours - ours.mean(dim=0), others - others.mean(dim=0)])
    residuals = residuals / len(residuals) ** 0.5
    inner = residuals @ residuals.T  # (N, N), while S is (D, D), with D in the thousands
    # one picture a side, or the same one again, has no variance: then the difference alone counts
    r = (ridge * inner.trace() / len(residuals)).clamp(min=1e-12)
    eye = torch.eye(len(residuals), dtype=inner.dtype)
    within = residuals.T @ torch.linalg.solve(inner + r * eye, residuals @ difference)
    direction: Tensor = (difference - within) / r
    return direction


def _left_out(ours: Tensor, others: Tensor, ridge: float, fold: int) -> tuple[Tensor, Tensor]:
    """Place a fifth of either side on the axis of the rest: the same things of both."""
    mine, theirs = (torch.arange(len(side)) % _FOLDS == fold for side in (ours, others))
    if min(int((~mine).sum()), int((~theirs).sum())) < 1:
        return ours.new_zeros(0), others.new_zeros(0)
    direction = _discriminant(ours[~mine], others[~theirs], ridge)
    middle, half = _middle(ours[~mine] @ direction, others[~theirs] @ direction)
    return (ours[mine] @ direction - middle) / half, (others[theirs] @ direction - middle) / half


def _middle(ours: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    return (ours.mean() + others.mean()) / 2, (ours.mean() - others.mean()) / 2


def _check_contrast(contrast: Tensor) -> None:
    if len(contrast) < 2:
        raise ValueError(
            f"Expected at least two pictures of the base as contrast, but got {len(contrast)}."
        )


def _values(samples: Samples) -> Tensor:
    return given(samples.judges.style, "style").scores(samples.pictures.pixels)


STYLE_SCORE = SampleMetric(
    name="style_score",
    title="style score",
    higher_is_better=True,
    meaning=(
        "How far the drawing is in the style of the training pictures, whatever it shows: 0 where "
        "the base draws, 1 where new pictures of the style lie."
    ),
    limits="It does not say whether a picture shows what was asked for.",
    needs=("style",),
    values=_values,
)
