"""Whether samples are copies of training pictures."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from sdtune._checks import check_all
from sdtune.metrics.metric import SampleMetric
from sdtune.metrics.samples import Reference, Samples
from sdtune.metrics.ssim import pairwise_ssim, ssim_pairs

__all__ = ["MEMORISED_SHARE", "Nearest", "clip_pairs", "copies", "copy_threshold", "nearest"]

_FALSE_POSITIVE_RATE = 0.05  # of taking a new picture for a copy, by either of two measures


class Nearest(NamedTuple):
    """The training picture most similar to each sample.

    Attributes:
        similarity: (B,) how similar it is.
        number: (B,) int64, its place in the training set.
    """

    similarity: Tensor
    number: Tensor


def nearest(similarities: Tensor) -> Nearest:
    """Find each sample's most similar training picture.

    Args:
        similarities: (B, M) of samples and training pictures.

    Returns:
        (B,) similarities and (B,) places in the training set.
    """
    similarity, number = similarities.max(dim=1)
    return Nearest(similarity, number)


def copy_threshold(nearest_similarity: Tensor, false_positive_rate: float = 0.05) -> float:
    """Find the similarity above which a sample is taken for a copy.

    It is the conformal quantile of what pictures that cannot be copies reach (Vovk et al. 2005): a
    new picture of their kind lies above it with a probability of at most the rate. With fewer than
    1 / rate - 1 pictures it is their highest, and the probability is 1 / (K + 1).

    Args:
        nearest_similarity: (K,) of held-out pictures, each with its nearest training picture.
        false_positive_rate: Share of new, uncopied pictures that may be taken for copies.

    Returns:
        The threshold.

    Raises:
        ValueError: If there is no picture, or the rate is not in (0, 1).
    """
    check_all(lambda: _check_held_out(nearest_similarity), lambda: _check_rate(false_positive_rate))
    count = len(nearest_similarity)
    rank = min(count, math.ceil((count + 1) * (1.0 - false_positive_rate)))
    return float(nearest_similarity.sort().values[rank - 1])


def clip_pairs(samples: Samples) -> Tensor:
    """Compute the cosines of all pairs of samples and training pictures in CLIP's space: (B, M)."""
    return samples.pictures.clip @ samples.training.clip.T


def copies(samples: Samples) -> Tensor:
    """Tell which samples are taken for copies of a training picture.

    A sample is compared with its nearest training picture twice: by CLIP-I, which finds copies
    that were moved, and by SSIM, which finds the same composition. Each has its threshold at half
    the rate of false alarms, so that both together keep the whole. The thresholds are calibrated
    on each training and held-out picture, and the training picture, other than itself, nearest to
    it.

    Args:
        samples: Their pictures.

    Returns:
        (B,) bool.
    """
    clip, ssim = samples.once(clip_pairs), samples.once(ssim_pairs)
    clip_threshold, ssim_threshold = samples.reference.once(_thresholds)
    return (clip.amax(dim=1) > clip_threshold) | (ssim.amax(dim=1) > ssim_threshold)


def _thresholds(reference: Reference) -> tuple[float, float]:
    training, held_out = reference.training, reference.held_out
    clip = torch.cat([training.clip, held_out.clip])
    grey = torch.cat([training.grey, held_out.grey])
    return (
        _threshold(clip @ training.clip.T),
        _threshold(pairwise_ssim(grey, training.grey)),
    )


def _threshold(similarities: Tensor) -> float:
    others = similarities.clone()  # (M + K, M)
    others.fill_diagonal_(-math.inf)
    return copy_threshold(nearest(others).similarity, _FALSE_POSITIVE_RATE / 2)


def _check_held_out(pictures: Tensor) -> None:
    if not len(pictures):
        raise ValueError("Expected at least one held-out picture, but got none.")


def _check_rate(rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise ValueError(f"Expected `false_positive_rate` to be in (0, 1), but got {rate}.")


MEMORISED_SHARE = SampleMetric(
    name="memorised_share",
    title="memorised",
    higher_is_better=False,
    meaning=(
        "The share of pictures that are closer to a training picture than training pictures are "
        "to each other, and so may be copies."
    ),
    limits="It does not prove a copy: look at the pairs below.",
    lowest=0.0,
    highest=1.0,
    needs=("clip", "grey", "training"),
    values=lambda samples: samples.once(copies).float(),
)
