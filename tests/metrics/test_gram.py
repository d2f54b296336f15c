from __future__ import annotations

import pytest
import torch
from diffusers import AutoencoderKL
from torch.nn import functional as F

from sdtune.metrics import gram
from sdtune.metrics.gram import GramEmbedder, gram_vector
from tests.metrics.tiny_networks import random_images


@pytest.fixture(scope="module")
def vae(tiny_sd):
    return AutoencoderKL.from_pretrained(tiny_sd, subfolder="vae").eval().requires_grad_(False)


def test_is_the_covariance_of_the_channels():
    maps = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    covariance = torch.cov(maps[1].reshape(3, 35), correction=0)
    wanted = torch.stack([covariance[i, j] for i in range(3) for j in range(i, 3)])
    torch.testing.assert_close(gram_vector(maps)[1], wanted)


def test_where_something_is_does_not_matter():
    maps = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(gram_vector(maps.roll((3, 2), (2, 3))), gram_vector(maps))


def test_takes_the_encoder_s_layers(vae):
    """The last is what the encoder hands to its middle."""
    seen = []
    hook = vae.encoder.mid_block.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    images = random_images(2, seed=0)
    vae.encode(2 * images - 1)
    hook.remove()
    vectors = GramEmbedder(vae).embed_images(images)
    last = gram_vector(seen[0])
    layers = len(vae.encoder.down_blocks) + 1
    wanted = F.normalize(last, dim=1) / layers**0.5
    torch.testing.assert_close(vectors[:, -last.shape[1] :], wanted)


def test_wide_layers_are_mixed_the_same_each_time(vae, monkeypatch):
    images = random_images(2, seed=0)
    whole = GramEmbedder(vae).embed_images(images)
    monkeypatch.setattr(gram, "_MOST_CHANNELS", 4)
    narrow = GramEmbedder(vae).embed_images(images)
    assert narrow.shape[1] < whole.shape[1] / 2
    torch.testing.assert_close(GramEmbedder(vae).embed_images(images), narrow, rtol=0, atol=0)


def test_pictures_of_any_size_are_taken(vae):
    image = random_images(1, seed=0)[0]
    wide = torch.cat([torch.zeros(3, 64, 20), image, torch.zeros(3, 64, 20)], dim=2)
    large = F.interpolate(image[None], scale_factor=2, mode="bicubic")[0].clamp(0, 1)
    one, middle, resized = GramEmbedder(vae).embed_images([image, wide, large])
    torch.testing.assert_close(middle, one)
    assert one @ resized > 0.99
