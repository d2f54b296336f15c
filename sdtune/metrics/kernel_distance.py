"""How far a set of pictures as a whole is from the training set: CLIP-MMD and KID."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from sdtune._checks import check_all
from sdtune.metrics.images import check_training_pictures
from sdtune.metrics.metric import SetMetric
from sdtune.metrics.samples import Reference

__all__ = ["CLIP_MMD", "Kernel", "kernel_distance"]

Kernel = Literal["gaussian", "polynomial"]

_SIGMA = 10.0
_SCALE = 1000.0  # the papers' tables are in thousandths


def kernel_distance(
    images: Tensor,
    training: Tensor,
    kernel: Kernel = "gaussian",
    weights: Tensor | None = None,
) -> Tensor:
    """Estimate the squared maximum mean discrepancy of two sets (Gretton et al. 2012).

    `gaussian` is CLIP-MMD (Jayasumana et al. 2024, https://arxiv.org/abs/2401.09603):
    exp(-|x - y|^2 / (2 * 10^2)) on CLIP's unit vectors. `polynomial` is KID (Binkowski et al. 2018,
    https://arxiv.org/abs/1801.01401), (x @ y / D + 1)^3, on unit vectors times sqrt(D), so that D
    falls out. Both without bias: no picture is compared with itself, which in sets of tens of
    pictures would outweigh the rest (CLIP-MMD's own code does, on thousands). So a set no different
    from the training set gives about 0, and sometimes less.

    Args:
        images: (B, D) unit vectors of two or more pictures.
        training: (M, D) unit vectors of two or more training pictures.
        kernel: `gaussian` or `polynomial`.
        weights: (R, B) how often each picture counts in each of R resamples, as
            `intervals.resample` gives them; copies of a picture are not compared with each other.

    Returns:
        A scalar, or (R,) with weights, times 1000; float64 on the CPU. Not a number where only one
        picture counts.

    Raises:
        ValueError: If a set has fewer than two, or `kernel` is neither of the two.
    """
    check_all(
        lambda: check_training_pictures(training),
        lambda: _check_pictures(images),
        lambda: _check_kernel(kernel),
    )
    # double: the figure is a small difference of numbers near 1
    images, training = images.cpu().double(), training.cpu().double()
    among, between = _kernel(images, images, kernel), _kernel(images, training, kernel)
    of_training = _mean_of_pairs(_kernel(training, training, kernel))
    rows = images.new_ones(1, len(images)) if weights is None else weights.to(images)
    among.fill_diagonal_(0.0)
    total = rows.sum(dim=1)
    pairs = total**2 - (rows**2).sum(dim=1)  # sum over i != j of w_i w_j
    of_images = ((rows @ among) * rows).sum(dim=1) / pairs
    distance = _SCALE * (of_images + of_training - 2 * rows @ between.mean(dim=1) / total)
    return distance[0] if weights is None else distance


def _kernel(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    cosine = x @ y.T
    if kernel == "polynomial":
        return (cosine + 1.0) ** 3
    return torch.exp((cosine - 1.0) / _SIGMA**2)  # |x - y|^2 = 2 - 2 cosine of unit vectors


def _mean_of_pairs(values: Tensor) -> Tensor:
    return (values.sum() - values.trace()) / (len(values) * (len(values) - 1))


def _check_pictures(images: Tensor) -> None:
    if len(images) < 2:
        raise ValueError(f"Expected at least two pictures to compare, but got {len(images)}.")


def _check_kernel(kernel: str) -> None:
    if kernel not in get_args(Kernel):
        allowed = ", ".join(f"`{name}`" for name in get_args(Kernel))
        raise ValueError(f"Expected `kernel` to be one of {allowed}, but got `{kernel}`.")


def _distance(vectors: Tensor, reference: Reference, weights: Tensor) -> Tensor:
    return kernel_distance(vectors, reference.training.clip, weights=weights)


CLIP_MMD = SetMetric(
    name="clip_mmd",
    title="CLIP-MMD",
    higher_is_better=False,
    meaning=(
        "How far the pictures as a set are from the training pictures, in thousandths; about 0 if "
        "they could be of the same set."
    ),
    limits="It says nothing of a single picture, and little where there are few of them.",
    needs=("clip", "training"),
    vectors=lambda samples: samples.pictures.clip,
    distance=_distance,
)
