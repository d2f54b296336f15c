"""Activations that are computed again in the backward pass, and not kept for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from transformers import CLIPTextModel

    from sdtune.models import StableDiffusion

__all__ = ["recompute_activations"]


def recompute_activations(model: StableDiffusion, text_encoders: bool, is_random: bool) -> None:
    """Let a UNet keep its blocks' inputs alone (Chen et al. 2016, https://arxiv.org/abs/1604.06174).

    Args:
        model: The base, with what learns in place.
        text_encoders: Whether theirs are recomputed too.
        is_random: Whether anything in it is: then the random state is put back for the second
            time, which no recorded pass can do.
    """
    options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": is_random}
    model.unet.enable_gradient_checkpointing(partial(checkpoint, **options))
    if text_encoders:
        for each in model.text_encoders:
            cast("CLIPTextModel", each).gradient_checkpointing_enable(options)
