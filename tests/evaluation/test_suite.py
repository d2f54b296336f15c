import pytest
import torch

from sdtune.evaluation.suite import Suite
from sdtune.metrics.clip_score import CLIPScore
from sdtune.metrics.image_similarity import ImageSimilarity
from sdtune.metrics.kernel_distance import KernelDistance
from sdtune.metrics.memorisation import Memorisation
from sdtune.metrics.ssim import SSIM
from tests.metrics.tiny_networks import random_images

PROMPTS = ["a cat", "a dog"]
SEEDS = [0, 5]


@pytest.fixture(scope="module")
def suite(training, judges):
    return Suite(training, judges, PROMPTS, SEEDS, num_class_prompts=1, resolution=64)


@pytest.fixture(scope="module")
def pictures(training):
    return torch.cat(list(training.read(training.pictures, 64)))


def test_figures_are_those_of_the_metrics(suite, judges, pictures):
    images = random_images(4, seed=1)
    figures = suite.figures(suite.score(images))
    samples = [prompt for prompt in PROMPTS for _ in SEEDS]
    memorisation = Memorisation(pictures, judges.clip)
    metrics = {
        "clip_score": (CLIPScore(judges.clip), (images, samples)),
        "clip_i": (ImageSimilarity(pictures, judges.clip), (images,)),
        "dino": (ImageSimilarity(pictures, judges.dino), (images,)),
        "clip_mmd": (KernelDistance(pictures, judges.clip), (images,)),
        "ssim": (SSIM(pictures), (images,)),
        "ssim_nearest": (SSIM(pictures, nearest=True), (images,)),
    }
    for name, (metric, arguments) in metrics.items():
        metric.update(*arguments)
        value = figures[name].value
        shown = max(value, 0.0) if name == "clip_score" else value  # which is never shown below 0
        assert shown == pytest.approx(float(metric.compute()), abs=1e-4), name
        assert figures[name].low <= figures[name].value <= figures[name].high
        assert figures[name].count == 4
    memorisation.update(images)
    share = float(memorisation.compute()["either"])
    assert figures["memorised_share"].value == pytest.approx(share)
    assert set(figures) == {*metrics, "memorised_share"}


def test_copies_and_their_originals_are_named(suite, pictures):
    images = torch.cat([pictures[[3, 1]], random_images(2, seed=1)])
    scores = suite.score(images)
    assert [each.picture for each in scores.nearest[:2]] == ["3.png", "1.png"]
    assert [each.memorised for each in scores.nearest[:2]] == [True, True]
    assert [(each.prompt, each.seed) for each in scores.nearest] == [(0, 0), (0, 5), (1, 0), (1, 5)]
    assert scores.nearest[0].ssim == pytest.approx(1.0, abs=1e-3)
    assert scores.per_sample["memorised_share"][:2].tolist() == [1.0, 1.0]


def test_comparisons_are_paired_with_the_base(suite, pictures):
    base = suite.score(random_images(4, seed=1), random_images(2, seed=2))
    same = suite.against_base(base, base)
    assert {each.verdict for each in same.values()} == {"no difference seen"}
    assert all(each.difference == each.low == each.high == 0.0 for each in same.values())
    tuned = suite.score(pictures[:4], random_images(2, seed=3), base)
    found = suite.against_base(tuned, base)
    assert found["ssim_nearest"].verdict == "better"
    assert found["clip_mmd"].difference == pytest.approx(
        suite.figures(tuned)["clip_mmd"].value - suite.figures(base)["clip_mmd"].value
    )
    assert "class_drift" not in suite.figures(base)
    assert "class_drift" not in found
    assert 0.0 < suite.figures(tuned)["class_drift"].value < 2.0
    assert suite.figures(suite.score(pictures[:4], random_images(2, seed=2), base))[
        "class_drift"
    ].value == pytest.approx(0.0, abs=1e-6)
