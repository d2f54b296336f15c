"""Every metric is the same whatever the size of the batches in which its pictures came."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torchmetrics import Metric

from sdtune.metrics.class_drift import ClassDrift
from sdtune.metrics.clip_score import CLIPScore
from sdtune.metrics.features import CLIPEmbedder
from sdtune.metrics.image_similarity import ImageSimilarity
from sdtune.metrics.kernel_distance import KernelDistance
from sdtune.metrics.lpips_diversity import LPIPSDiversity
from sdtune.metrics.memorisation import Memorisation
from sdtune.metrics.ssim import SSIM
from sdtune.metrics.style_score import StyleScore
from tests.metrics.tiny_networks import random_images

IMAGES, BASE = random_images(6, seed=0), random_images(6, seed=1)
TRAINING, HELD_OUT = random_images(5, seed=2), random_images(4, seed=3)
PROMPTS = ["a cat", "a dog", "a cat", "a dog", "a cat", "a dog"]

Make = Callable[[CLIPEmbedder], Metric]


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).abs().mean(dim=(1, 2, 3))


METRICS: dict[str, tuple[Make, tuple, bool]] = {
    "clip_score": (CLIPScore, (IMAGES, PROMPTS), True),
    "ssim": (lambda clip: SSIM(TRAINING), (IMAGES,), True),
    "ssim_nearest": (lambda clip: SSIM(TRAINING, nearest=True), (IMAGES,), True),
    "clip_i": (lambda clip: ImageSimilarity(TRAINING, clip), (IMAGES,), True),
    "clip_mmd": (lambda clip: KernelDistance(TRAINING, clip), (IMAGES,), False),
    "kid": (lambda clip: KernelDistance(TRAINING, clip, "polynomial"), (IMAGES,), False),
    "style_score": (lambda clip: StyleScore(TRAINING, BASE, clip), (IMAGES,), True),
    "diversity": (lambda clip: LPIPSDiversity(_distance), (IMAGES, PROMPTS), True),
    "memorisation": (lambda clip: Memorisation(TRAINING, clip, HELD_OUT), (IMAGES,), False),
    "class_drift": (ClassDrift, (IMAGES, BASE), False),
}
"""How to make each metric, what it is updated with, and whether more of it is better."""


def _value(metric: Metric, arguments: tuple, batch_size: int) -> dict[str, torch.Tensor]:
    metric.reset()
    for first in range(0, len(IMAGES), batch_size):
        metric.update(*(each[first : first + batch_size] for each in arguments))
    value = metric.compute()
    return value if isinstance(value, dict) else {"value": value}


@pytest.mark.parametrize("name", METRICS)
def test_batches_of_any_size_give_the_same(name, clip):
    make, arguments, _ = METRICS[name]
    metric = make(clip)
    whole = _value(metric, arguments, len(IMAGES))
    for batch_size in (1, 4):
        parts = _value(metric, arguments, batch_size)
        torch.testing.assert_close(parts, whole, atol=2e-5, rtol=1e-5)
    assert all(value.isfinite() for value in whole.values())


@pytest.mark.parametrize("name", METRICS)
def test_the_better_direction_is_declared(name, clip):
    make, _, higher_is_better = METRICS[name]
    assert make(clip).higher_is_better is higher_is_better
