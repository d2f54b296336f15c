from __future__ import annotations

import pytest
import torch

from sdtune.metrics.images import to_grey
from sdtune.metrics.memorisation import Memorisation, copy_threshold, nearest
from sdtune.metrics.ssim import pairwise_ssim
from tests.metrics.tiny_networks import random_images


def test_nearest_is_the_most_similar():
    found = nearest(torch.tensor([[0.1, 0.9, 0.2], [0.5, 0.4, 0.3]]))
    torch.testing.assert_close(found.similarity, torch.tensor([0.9, 0.5]))
    assert found.number.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("count", "rate", "rank"), [(99, 0.05, 95), (19, 0.05, 19), (4, 0.05, 4), (9, 0.5, 5)]
)
def test_threshold_is_the_conformal_quantile(count, rate, rank):
    values = torch.arange(1.0, count + 1).flip(0)
    assert copy_threshold(values, rate) == rank


def test_new_pictures_exceed_the_threshold_at_the_rate():
    generator = torch.Generator().manual_seed(0)
    shares = [
        float((torch.randn(50, generator=generator) > copy_threshold(each, 0.1)).float().mean())
        for each in torch.randn(400, 39, generator=generator)
    ]
    assert sum(shares) / len(shares) == pytest.approx(0.1, abs=0.02)


def test_copies_are_found_and_others_are_not(clip):
    training, held_out = random_images(6, seed=0), random_images(40, seed=1)
    metric = Memorisation(training, clip, held_out)
    copies = (training[[4, 1]] + 0.01 * random_images(2, seed=2)).clamp(max=1.0)
    new = random_images(2, seed=3)
    metric.update(torch.cat([copies, new]))
    flags = metric.copies()
    assert flags["ssim"].tolist() == flags["either"].tolist() == [True, True, False, False]
    assert metric.compute()["either"] == 0.5
    found = metric.nearest_pictures()
    assert found["ssim"].number[:2].tolist() == found["clip"].number[:2].tolist() == [4, 1]
    wanted = pairwise_ssim(to_grey(copies, 64), to_grey(training, 64)).amax(dim=1)
    torch.testing.assert_close(found["ssim"].similarity[:2], wanted)


def test_without_held_out_pictures_the_others_calibrate(clip):
    training = random_images(6, seed=0)
    metric = Memorisation(training, clip)
    features = clip.embed_images(training)
    others = (features @ features.T).fill_diagonal_(-1.0)
    assert metric.clip_threshold == pytest.approx(float(others.amax(dim=1).max()))
    metric.update(training, features)
    assert metric.compute()["either"] == 1.0


def test_all_that_is_wrong_is_said(clip):
    with pytest.raises(ValueError, match="two training pictures, but got 1") as caught:
        Memorisation(random_images(1, 0), clip, random_images(0, 0), false_positive_rate=5)
    assert "one held-out picture, but got none" in str(caught.value)
    assert "`false_positive_rate` to be in (0, 1), but got 5" in str(caught.value)
