from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from sdtune.adapters.lora import lora_parameters
from sdtune.models import StableDiffusion, load


@pytest.fixture(scope="session")
def base(micro_sd: Path) -> StableDiffusion:
    """A loaded model with a block of each kind, which no test changes."""
    return load(micro_sd)


@pytest.fixture
def model(base: StableDiffusion) -> StableDiffusion:
    """A model of the test's own."""
    return copy.deepcopy(base)


@pytest.fixture
def sd1_model(tiny_sd: Path) -> StableDiffusion:
    """A model with as many layers as Stable Diffusion 1, by the names that it has there."""
    return load(tiny_sd)


@pytest.fixture
def train():
    """Return a function that moves every adapter parameter, as training would."""

    @torch.no_grad()
    def move(model: StableDiffusion, scale: float = 0.1) -> None:
        generator = torch.Generator().manual_seed(0)
        for parameter in lora_parameters(model):
            parameter += scale * torch.randn(parameter.shape, generator=generator)

    return move


@pytest.fixture
def predict():
    """Return a function that predicts from fixed noise for a fixed prompt."""

    @torch.no_grad()
    def prediction(model: StableDiffusion, side: int = 16) -> torch.Tensor:
        noise = torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(1))
        conditioning = model.encode_prompts(["a cat", "a turtle on a dotted background"])
        return model(noise.to(model.dtype), torch.tensor([100, 700]), conditioning)

    return prediction
