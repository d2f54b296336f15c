from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2gray

from sdtune.metrics.images import check_images, check_training_pictures, to_grey
from tests.metrics.tiny_networks import random_images


def test_grey_is_skimage_s():
    images = random_images(2, seed=0)
    wanted = rgb2gray(images.permute(0, 2, 3, 1).numpy())
    np.testing.assert_allclose(to_grey(images, 64)[:, 0].numpy(), wanted, atol=1e-6)


def test_any_shape_becomes_a_square():
    grey = to_grey([torch.rand(3, 30, 50), torch.full((3, 90, 40), 0.25)], 16)
    assert grey.shape == (2, 1, 16, 16)
    torch.testing.assert_close(grey[1], torch.full((1, 16, 16), 0.25))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(1, 1, 8, 8), r"shape \(3, H, W\), but got \(1, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "floats in .* but got torch.uint8"),
        (2 * torch.ones(1, 3, 8, 8), "values from 2 to 2"),
        (torch.full((1, 3, 8, 8), float("nan")), "values from nan"),
    ],
)
def test_what_is_no_picture_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        check_images(images)


def test_one_training_picture_is_too_few():
    with pytest.raises(ValueError, match="at least two training pictures, but got 1"):
        check_training_pictures(torch.zeros(1, 3, 8, 8))
