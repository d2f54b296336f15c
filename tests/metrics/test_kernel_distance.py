from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F
from torchmetrics.image.kid import poly_mmd

from sdtune.metrics.intervals import interval_of, resample, verdict
from sdtune.metrics.judges import Judges
from sdtune.metrics.kernel_distance import CLIP_MMD, kernel_distance
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import make_reference, make_samples


def _vectors(count: int, seed: int, shift: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, 8, generator=generator) + shift, dim=1).double()


def test_polynomial_equals_torchmetrics_kid():
    images, training = _vectors(9, 0, shift=1.0), _vectors(9, 1)
    wanted = 1000 * poly_mmd(training * 8**0.5, images * 8**0.5)
    torch.testing.assert_close(kernel_distance(images, training, "polynomial"), wanted)


def test_gaussian_equals_its_formula():
    images, training = _vectors(5, 0, shift=1.0), _vectors(7, 1)

    def k(x, y):
        return torch.exp(-((x - y) ** 2).sum() / (2 * 10**2))

    def among(rows):
        return torch.stack([k(x, y) for x in rows for y in rows if x is not y]).mean()

    between = torch.stack([k(x, y) for x in images for y in training]).mean()
    wanted = 1000 * (among(list(images)) + among(list(training)) - 2 * between)
    torch.testing.assert_close(kernel_distance(images, training), wanted)


@pytest.mark.parametrize("kernel", ["gaussian", "polynomial"])
def test_sets_of_one_kind_are_at_0_on_average(kernel):
    same = [kernel_distance(_vectors(20, i), _vectors(20, 99 + i), kernel) for i in range(60)]
    other = [kernel_distance(_vectors(20, i, 0.5), _vectors(20, 99 + i), kernel) for i in range(60)]
    same, other = torch.stack(same), torch.stack(other)
    assert abs(same.mean()) < 3 * same.std() / 60**0.5
    assert other.mean() > 3 * same.std()


def test_weights_are_copies_that_do_not_meet_each_other():
    images, training = _vectors(4, 0, shift=1.0), _vectors(5, 1)
    counts = torch.tensor([[2.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
    rows = kernel_distance(images, training, "polynomial", counts)
    copies = images[[0, 0, 1, 3]]
    k = (copies @ copies.T + 1) ** 3
    k[0, 1] = k[1, 0] = 0.0
    k.fill_diagonal_(0.0)
    of_training = (training @ training.T + 1) ** 3
    wanted = (
        k.sum() / 10
        + (of_training.sum() - of_training.trace()) / 20
        - 2 * ((copies @ training.T + 1) ** 3).mean()
    )
    torch.testing.assert_close(rows[0], 1000 * wanted)
    torch.testing.assert_close(rows[1], kernel_distance(images, training, "polynomial"))


def test_the_resampled_distance_is_not_biased():
    images, training = _vectors(12, 0, shift=0.3), _vectors(12, 1)
    weights = resample([f"prompt {i}" for i in range(12)], [0] * 12, count=4000).weights
    resampled = kernel_distance(images, training, weights=weights)
    whole = kernel_distance(images, training)
    assert abs(resampled.nanmean() - whole) < 0.1 * resampled[~resampled.isnan()].std()


def test_a_difference_from_the_base_is_paired_by_its_weights():
    training, base = _vectors(30, 0, shift=1.0), _vectors(30, 1)
    tuned = F.normalize(base + 0.2 * training.mean(dim=0), dim=1)
    resamples = resample([i // 3 for i in range(30)], [i % 3 for i in range(30)])

    def gain(weights: torch.Tensor) -> torch.Tensor:
        distances = (kernel_distance(each, training, weights=weights) for each in (tuned, base))
        return next(distances) - next(distances)

    assert verdict(interval_of(gain, resamples), CLIP_MMD.higher_is_better) == "better"


def test_the_metric_is_the_function_of_clip_s_vectors(clip):
    images, training = random_images(5, seed=0), random_images(4, seed=1)
    reference = make_reference(Judges(clip), training)
    rows = CLIP_MMD.rows(make_samples(reference, images))
    wanted = kernel_distance(clip.embed_images(images), clip.embed_images(training))
    once = CLIP_MMD.figure(rows, reference, torch.ones(1, 5))
    torch.testing.assert_close(once, wanted[None], rtol=1e-4, atol=1e-4)


def test_all_that_is_wrong_is_said():
    with pytest.raises(ValueError, match="at least two training pictures, but got 1") as caught:
        kernel_distance(torch.eye(3)[:1], torch.eye(3)[:1], "linear")
    assert "two pictures to compare, but got 1" in str(caught.value)
    assert "one of `gaussian`, `polynomial`, but got `linear`" in str(caught.value)
