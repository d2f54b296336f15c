"""What all formats need to prove that a file does what the model does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sdtune.functional.randomness import counter_generator
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["AdapterVerificationError", "evaluating", "prediction"]


class AdapterVerificationError(RuntimeError):
    """A saved adapter does not do what the model it was saved from does."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode, and each of its modules back into its own afterwards.

    Args:
        model: Any module.

    Yields:
        Nothing.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def prediction(model: StableDiffusion) -> Tensor:
    """Predict from noise and for a prompt that never change, so that two models can be compared.

    Args:
        model: A bundle, in evaluation mode.

    Returns:
        (1, C, h, w) float32, of order 1. The prompt goes through the text encoder.
    """
    unet = model.unet
    size = unet.config.sample_size
    height, width = (size, size) if isinstance(size, int) else size
    # a network works at any size, and a small picture tells two of them apart as well
    shape = (1, unet.config.in_channels, min(height, 16), min(width, 16))
    noise = torch.randn(shape, generator=counter_generator(0))
    conditioning = model.encode_prompts(["a turtle"]).to(unet.device, unet.dtype)
    timesteps = torch.tensor([model.noise_scheduler.config.num_train_timesteps // 2])
    predicted = model(noise.to(unet.device, unet.dtype), timesteps.to(unet.device), conditioning)
    return predicted.float()
