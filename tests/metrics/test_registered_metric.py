"""Every registered metric through torchmetrics' interface."""

from __future__ import annotations

import pytest
import torch

from sdtune.metrics.judges import Judges
from sdtune.metrics.registered_metric import RegisteredMetric
from sdtune.metrics.registry import METRICS
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import (
    FixedStyle,
    make_reference,
    make_samples,
    part,
    pixel_distance,
)  # fmt: skip


@pytest.fixture(scope="module")
def samples(clip, dino):
    judges = Judges(clip, dino, pixel_distance, FixedStyle())
    reference = make_reference(judges, random_images(5, seed=2), random_images(4, seed=3))
    base = make_samples(reference, random_images(6, seed=1), random_images(6, seed=4))
    return make_samples(reference, random_images(6, seed=0), random_images(6, seed=5), base)


@pytest.mark.parametrize("name", METRICS)
def test_batches_of_whole_prompts_give_the_same(name, samples):
    whole, parts = RegisteredMetric(name), RegisteredMetric(METRICS[name])
    whole.update(samples)
    for first, last in ((0, 2), (2, 6)):
        parts.update(part(samples, first, last))
    torch.testing.assert_close(parts.compute(), whole.compute(), atol=2e-5, rtol=1e-5)
    assert whole.compute().isfinite()
    assert len(whole.rows) == 6
    assert whole.higher_is_better is METRICS[name].higher_is_better
    whole.reset()
    whole.update(part(samples, 0, 4))
    assert len(whole.rows) == 4


def test_a_metric_of_samples_has_their_mean(samples):
    metric = RegisteredMetric("clip_i")
    metric.update(samples)
    pairs = samples.pictures.clip @ samples.training.clip.T
    assert float(metric.compute()) == pytest.approx(float(pairs.mean()), abs=1e-6)


def test_nothing_to_compute_and_no_such_metric():
    with pytest.raises(ValueError, match=r"one of `clip_score`, .*, but got `beauty`"):
        RegisteredMetric("beauty")
