from __future__ import annotations

import pytest
import torch

from sdtune.metrics.judges import Judges
from sdtune.metrics.memorisation import (
    MEMORISED_SHARE,
    _thresholds,
    clip_pairs,
    copies,
    copy_threshold,
    nearest,
)
from sdtune.metrics.ssim import ssim_pairs
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples


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
    redrawn = (training[[4, 1]] + 0.01 * random_images(2, seed=2)).clamp(max=1.0)
    reference = make_reference(Judges(clip), training, held_out)
    samples = make_samples(reference, torch.cat([redrawn, random_images(2, seed=3)]))
    assert copies(samples).tolist() == [True, True, False, False]
    assert MEMORISED_SHARE.rows(samples).tolist() == [1.0, 1.0, 0.0, 0.0]
    for pairs in (clip_pairs, ssim_pairs):
        assert nearest(samples.once(pairs)).number[:2].tolist() == [4, 1]


def test_without_held_out_pictures_the_others_calibrate(clip):
    training = random_images(6, seed=0)
    reference = make_reference(Judges(clip), training)
    others = (clip.embed_images(training) @ clip.embed_images(training).T).fill_diagonal_(-1.0)
    clip_threshold, ssim_threshold = _thresholds(reference)
    assert clip_threshold == pytest.approx(float(others.amax(dim=1).max()))
    assert ssim_threshold < 1.0
    assert copies(make_samples(reference, training)).all()


def test_all_that_is_wrong_is_said():
    with pytest.raises(ValueError, match="one held-out picture, but got none") as caught:
        copy_threshold(torch.zeros(0), 5)
    assert "`false_positive_rate` to be in (0, 1), but got 5" in str(caught.value)
