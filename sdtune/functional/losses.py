"""Losses on what the UNet predicts: tensors in, tensors out."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["diffusion_loss"]


def diffusion_loss(model_pred: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """Compute each sample's mean squared error, in float32 whatever the precision of the run.

    Args:
        model_pred: (B, C, h, w) output of the UNet.
        target: (B, C, h, w) what it should have been.
        weights: (B,) factor per sample, or None for 1.

    Returns:
        (B,) float32, 0 or more. The caller takes the mean over the batch.

    Raises:
        ValueError: If the shapes differ, which broadcasting would hide.
    """
    if model_pred.shape != target.shape:
        raise ValueError(
            f"Expected `target` to have the shape of `model_pred`, {tuple(model_pred.shape)}, "
            f"but got {tuple(target.shape)}."
        )
    errors = F.mse_loss(model_pred.float(), target.float(), reduction="none")
    loss = errors.flatten(1).mean(dim=1)  # (B, C, h, w) -> (B,)
    return loss if weights is None else loss * weights.to(loss)
