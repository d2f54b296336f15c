"""Whether samples are copies of training pictures."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from sdtune._checks import check_all
from sdtune.metrics.features import Embedder, image_features
from sdtune.metrics.images import Images, check_training_pictures, to_grey
from sdtune.metrics.ssim import pairwise_ssim

__all__ = ["Memorisation", "Nearest", "copy_threshold", "nearest"]


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


class Memorisation(Metric):
    """The share of samples that are copies of a training picture.

    A sample is compared with its nearest training picture twice: by CLIP-I, which finds copies
    that were moved, and by SSIM, which finds the same composition. Each has its threshold from
    held-out pictures at half the rate, so that `either` keeps the whole.

    Args:
        training: At least two training pictures.
        embedder: CLIP or DINO.
        held_out: Pictures of the same kind that were not trained on; None to compare each training
            picture with the others.
        size: Width and height at which SSIM compares, in pixels.
        false_positive_rate: Share of new, uncopied pictures that may be taken for copies.
        **kwargs: What every `torchmetrics.Metric` takes.

    Raises:
        ValueError: If there are fewer than two training pictures, no held-out ones, or the rate is
            not in (0, 1).
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    clip_similarity: list[Tensor]
    ssim_similarity: list[Tensor]
    clip_number: list[Tensor]
    ssim_number: list[Tensor]
    training_features: Tensor
    training_grey: Tensor

    def __init__(
        self,
        training: Images,
        embedder: Embedder,
        held_out: Images | None = None,
        size: int = 64,
        false_positive_rate: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_all(
            lambda: check_training_pictures(training),
            lambda: None if held_out is None else _check_held_out(held_out),
            lambda: _check_rate(false_positive_rate),
        )
        self.embedder = embedder
        self.size = size
        features = embedder.embed_images(training)
        self.register_buffer("training_features", features, persistent=False)
        self.register_buffer("training_grey", to_grey(training, size), persistent=False)
        for name in ("clip_similarity", "ssim_similarity", "clip_number", "ssim_number"):
            self.add_state(name, [], dist_reduce_fx="cat")
        clip, ssim = self._similarities(training if held_out is None else held_out, None)
        if held_out is None:
            clip.fill_diagonal_(-math.inf)
            ssim.fill_diagonal_(-math.inf)
        rate = false_positive_rate / 2
        self.clip_threshold = copy_threshold(nearest(clip).similarity, rate)
        self.ssim_threshold = copy_threshold(nearest(ssim).similarity, rate)

    def update(self, images: Images, features: Tensor | None = None) -> None:
        """Add samples.

        Args:
            images: (B, 3, H, W) in [0, 1].
            features: (B, D) of the same pictures, if they are known.
        """
        clip, ssim = (nearest(each) for each in self._similarities(images, features))
        self.clip_similarity.append(clip.similarity)
        self.clip_number.append(clip.number)
        self.ssim_similarity.append(ssim.similarity)
        self.ssim_number.append(ssim.number)

    def compute(self) -> dict[str, Tensor]:
        """Return the share of samples above the threshold of `clip`, of `ssim`, of `either`."""
        copies = self.copies()
        return {name: flags.float().mean() for name, flags in copies.items()}

    def copies(self) -> dict[str, Tensor]:
        """Return which samples are copies: (B,) bool for `clip`, `ssim` and `either`."""
        clip = dim_zero_cat(self.clip_similarity) > self.clip_threshold
        ssim = dim_zero_cat(self.ssim_similarity) > self.ssim_threshold
        return {"clip": clip, "ssim": ssim, "either": clip | ssim}

    def nearest_pictures(self) -> dict[str, Nearest]:
        """Return the nearest training picture of every sample so far, by `clip` and by `ssim`."""
        return {
            "clip": Nearest(dim_zero_cat(self.clip_similarity), dim_zero_cat(self.clip_number)),
            "ssim": Nearest(dim_zero_cat(self.ssim_similarity), dim_zero_cat(self.ssim_number)),
        }

    def _similarities(self, images: Images, features: Tensor | None) -> tuple[Tensor, Tensor]:
        known = image_features(images if features is None else features, self.embedder)
        grey = to_grey(images, self.size).to(self.training_grey)
        training = self.training_features.to(known)
        return known @ training.T, pairwise_ssim(grey, self.training_grey)


def _check_held_out(pictures: Images) -> None:
    if not len(pictures):
        raise ValueError("Expected at least one held-out picture, but got none.")


def _check_rate(rate: float) -> None:
    if not 0.0 < rate < 1.0:
        raise ValueError(f"Expected `false_positive_rate` to be in (0, 1), but got {rate}.")
