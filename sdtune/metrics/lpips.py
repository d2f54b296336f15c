"""LPIPS: how different two pictures are in the eyes of a network."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from sdtune._imports import require

__all__ = ["Distance", "load_lpips"]

Distance = Callable[[Tensor, Tensor], Tensor]
"""From two (B, 3, H, W) in [0, 1] to (B,), 0 for the same picture."""


def load_lpips() -> Distance:
    """Load LPIPS on AlexNet's features (Zhang et al. 2018, https://arxiv.org/abs/1801.03924).

    Returns:
        The distance.

    Raises:
        ModuleNotFoundError: If the extra is not installed; the message is the pip command.
        ValueError: If AlexNet's weights are neither in torch's cache nor within reach.
    """
    require("torchvision", extra="lpips")
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    try:
        lpips = LearnedPerceptualImagePatchSimilarity("alex", reduction="none", normalize=True)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            "AlexNet, on which LPIPS rests, is not in torch's cache and cannot be downloaded: "
            "compute LPIPS once with a network, or leave it out."
        ) from error
    return lpips.requires_grad_(False)
