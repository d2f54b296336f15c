"""Losses on what the UNet predicts: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sdtune.functional.device_copies import copied_to

__all__ = ["diffusion_loss", "latent_weights", "prior_preservation_loss", "weighed"]


def diffusion_loss(
    model_pred: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    places: Tensor | None = None,
) -> Tensor:
    """Compute each sample's mean squared error, in float32 whatever the precision of the run.

    Args:
        model_pred: (B, C, h, w) output of the UNet.
        target: (B, C, h, w) what it should have been.
        weights: (B,) factor per sample, or None for 1.
        places: (B, 1, h, w) how much each place counts, 0 or more, or None for all alike. The mean
            is weighted by it, so that the loss of a sample does not depend on how much of it
            counts; a sample of which nothing does has the loss 0.

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
    if places is None:
        loss = errors.flatten(1).mean(dim=1)  # (B, C, h, w) -> (B,)
    else:
        places = places.float().expand_as(errors)
        total = places.flatten(1).sum(dim=1)  # (B, C, h, w) -> (B,)
        loss = (places * errors).flatten(1).sum(dim=1) / total.clamp(min=1e-6)
    return loss if weights is None else loss * weights.to(loss)


def prior_preservation_loss(
    instance_losses: Tensor, class_losses: Tensor, prior_loss_weight: float
) -> Tensor:
    """Add the loss on pictures of the class to the loss on pictures of the subject.

    The class pictures come from the untuned model itself, so that their loss holds it to what it
    knew of the class (Ruiz et al. 2023, https://arxiv.org/abs/2208.12242, equation 2).

    Args:
        instance_losses: (B,) losses on the subject's pictures, see `diffusion_loss`.
        class_losses: (P,) losses on the class pictures.
        prior_loss_weight: Factor of the class pictures' mean, 0 or more.

    Returns:
        mean(instance_losses) + prior_loss_weight * mean(class_losses), a scalar.

    Raises:
        ValueError: If the weight is negative, which would teach the model to forget the class.
    """
    if prior_loss_weight < 0:
        raise ValueError(
            f"Expected `prior_loss_weight` to be 0 or more, but got {prior_loss_weight}."
        )
    return instance_losses.mean() + prior_loss_weight * class_losses.mean()


def weighed(losses: Tensor, weights: Sequence[float] | None) -> Tensor:
    """Let some samples count more than others in the mean.

    Args:
        losses: (B,), or (K * B,) with the samples that stand beside them behind, in their order.
        weights: B numbers, or None for 1.

    Returns:
        Like `losses`, each multiplied by its weight.
    """
    if weights is None:
        return losses
    repeated = [*weights] * (len(losses) // len(weights))
    return losses * copied_to(torch.tensor(repeated), losses.device, losses.dtype)


def latent_weights(weights: Tensor | None, latents: Tensor) -> Tensor | None:
    """Say how much each place of latents counts, from how much each pixel does.

    Args:
        weights: (B, 1, H, W) or (B, 1, h, w), on any device; None if all count alike.
        latents: (B, C, h, w).

    Returns:
        (B, 1, h, w), means over a latent's pixels, on the latents' device; None if all count alike.
    """
    if weights is None:
        return None
    height, width = latents.shape[-2:]
    return F.adaptive_avg_pool2d(copied_to(weights, latents.device), (height, width))
