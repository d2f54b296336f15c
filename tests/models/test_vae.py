"""A VAE that overflows in half precision: made precise where it says so, and else named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sdtune.models import StableDiffusion, load

PICTURES = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
LATENTS = torch.linspace(-2, 2, 4 * 8 * 8).reshape(1, 4, 8, 8)


@pytest.fixture
def model(tiny_xl: Path) -> StableDiffusion:
    """A base whose VAE, in float16, has finite weights and sums that are not, as SDXL's has."""
    model = load(tiny_xl)
    for coder in (model.vae.encoder, model.vae.decoder):
        weight = coder.conv_in.weight.data
        weight.mul_(6e4 / weight.abs().max())
    model.vae.half()
    return model


def test_where_float16_is_said_to_overflow_float32_is_used(model: StableDiffusion) -> None:
    assert model.vae.config["force_upcast"]
    moments, images = model.encode_images(PICTURES), model.decode_latents(LATENTS)
    assert moments.isfinite().all()
    assert images.std() > 0.01
    assert model.vae.dtype == torch.float16
    model.vae.float()
    assert torch.equal(moments, model.encode_images(PICTURES))
    assert torch.equal(images, model.decode_latents(LATENTS))


def test_an_overflow_is_noticed_and_the_way_out_named(model: StableDiffusion) -> None:
    model.vae.register_to_config(force_upcast=False)
    way_out = r"in float16 it overflows.*`model.vae.float\(\)`.*`madebyollin/sdxl-vae-fp16-fix`"
    with pytest.raises(ValueError, match=rf"tiny_xl to give finite latents, but {way_out}"):
        model.encode_images(PICTURES)
    with pytest.raises(ValueError, match="to give finite pictures"):
        model.decode_latents(LATENTS)
    # what the UNet has spoiled is not the VAE's doing
    assert model.decode_latents(LATENTS * torch.nan).isnan().all()
