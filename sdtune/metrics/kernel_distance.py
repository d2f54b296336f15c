"""How far a set of pictures as a whole is from the training set: CLIP-MMD and KID."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from sdtune._checks import check_all
from sdtune.metrics.features import Embedder, image_features
from sdtune.metrics.images import Images, check_training_pictures

__all__ = ["Kernel", "KernelDistance", "kernel_distance"]

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


class KernelDistance(Metric):
    """CLIP-MMD or KID of pictures to the training set.

    Args:
        training: At least two training pictures, or (M, D) features of them.
        embedder: The network, CLIP for CLIP-MMD; None if only features are given.
        kernel: `gaussian` or `polynomial`.
        **kwargs: What every `torchmetrics.Metric` takes.

    Raises:
        ValueError: If there are fewer than two training pictures or `kernel` is not known.
    """

    higher_is_better = False
    is_differentiable = False
    full_state_update = False

    features: list[Tensor]
    training_features: Tensor

    def __init__(
        self,
        training: Images,
        embedder: Embedder | None = None,
        kernel: Kernel = "gaussian",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_all(lambda: check_training_pictures(training), lambda: _check_kernel(kernel))
        self.embedder = embedder
        self.kernel = kernel
        self.add_state("features", [], dist_reduce_fx="cat")
        features = image_features(training, embedder)
        self.register_buffer("training_features", features, persistent=False)

    def update(self, images: Images) -> None:
        """Add pictures.

        Args:
            images: (B, 3, H, W) in [0, 1], or (B, D) features.
        """
        self.features.append(image_features(images, self.embedder))

    def compute(self) -> Tensor:
        """Return the distance of all pictures so far, times 1000; two pictures at least."""
        return kernel_distance(
            dim_zero_cat(self.features), self.training_features, self.kernel
        ).float()


def _check_pictures(images: Tensor) -> None:
    if len(images) < 2:
        raise ValueError(f"Expected at least two pictures to compare, but got {len(images)}.")


def _check_kernel(kernel: str) -> None:
    if kernel not in get_args(Kernel):
        allowed = ", ".join(f"`{name}`" for name in get_args(Kernel))
        raise ValueError(f"Expected `kernel` to be one of {allowed}, but got `{kernel}`.")
