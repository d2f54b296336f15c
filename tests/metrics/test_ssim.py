from __future__ import annotations

import pytest
import torch
from skimage.metrics import structural_similarity

from sdtune.metrics.images import to_grey
from sdtune.metrics.judges import Judges
from sdtune.metrics.ssim import SSIM, SSIM_NEAREST, pairwise_ssim
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples


def _peer(images: torch.Tensor, training: torch.Tensor) -> torch.Tensor:
    pairs = [
        [structural_similarity(x[0].numpy(), y[0].numpy(), data_range=1.0) for y in training]
        for x in images
    ]
    return torch.tensor(pairs, dtype=torch.float32)


@pytest.mark.parametrize(("size", "noise"), [(64, 0.0), (33, 0.2), (7, 1.0)])
def test_equals_skimage(size, noise):
    generator = torch.Generator().manual_seed(0)
    images, training = to_grey(random_images(2, 0), size), to_grey(random_images(3, 1), size)
    images = (images + noise * torch.rand(images.shape, generator=generator)).clamp(0, 1)
    wanted = _peer(images, training)
    torch.testing.assert_close(pairwise_ssim(images, training), wanted, atol=2e-5, rtol=0)


def test_flat_pictures_equal_skimage():
    """Their variance is a difference of nearly equal numbers."""
    images = torch.tensor([0.0, 0.5, 0.98, 1.0])[:, None, None, None].expand(4, 1, 64, 64)
    wanted = _peer(images, images)
    torch.testing.assert_close(pairwise_ssim(images, images), wanted, atol=1e-3, rtol=0)


def test_a_picture_is_like_itself():
    grey = to_grey(random_images(3, seed=0), 64)
    torch.testing.assert_close(pairwise_ssim(grey, grey).diagonal(), torch.ones(3))


def test_mean_over_all_pairs_and_nearest():
    images, training = random_images(2, seed=0, size=96), random_images(3, seed=1)
    training[2] = to_grey(images[:1], 64)[0]
    pairs = _peer(to_grey(images, 64), to_grey(training, 64))
    samples = make_samples(make_reference(Judges(), training), images)
    torch.testing.assert_close(SSIM.rows(samples), pairs.mean(dim=1), atol=2e-5, rtol=0)
    torch.testing.assert_close(SSIM_NEAREST.rows(samples), pairs.amax(dim=1), atol=2e-5, rtol=0)
    assert pairs[0, 2] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 3, 8, 8), "grey pictures of one size"),
        (torch.zeros(1, 1, 8, 9), "grey pictures of one size"),
    ],
)
def test_pictures_that_cannot_be_compared_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        pairwise_ssim(images, torch.zeros(2, 1, 8, 8))


def test_pictures_below_the_window_are_refused():
    with pytest.raises(ValueError, match="at least 7 pixels a side, but got 6 x 8"):
        pairwise_ssim(torch.zeros(1, 1, 8, 6), torch.zeros(1, 1, 8, 6))
