from dataclasses import replace

import pytest
import torch

from sdtune.evaluation import suite as module
from sdtune.evaluation.suite import Suite
from sdtune.metrics.clip_score import clip_score
from sdtune.metrics.image_similarity import image_similarity
from sdtune.metrics.images import to_grey
from sdtune.metrics.judges import Judges
from sdtune.metrics.kernel_distance import kernel_distance
from sdtune.metrics.registry import METRICS
from sdtune.metrics.ssim import pairwise_ssim
from tests.metrics.brightness import BRIGHTNESS
from tests.metrics.tiny_networks import random_images

PROMPTS = ["a cat", "a dog"]
SEEDS = [0, 5]


@pytest.fixture(scope="module")
def suite(training, judges):
    return Suite(training, judges, PROMPTS, SEEDS, num_class_prompts=1, size=(64, 64))


@pytest.fixture(scope="module")
def pictures(training):
    return torch.cat(list(training.read(training.pictures, (64, 64))))


def test_figures_are_those_of_the_functions(suite, judges, pictures):
    images = random_images(4, seed=1)
    scores = suite.score(images)
    figures = suite.figures(scores)
    texts = judges.clip.embed_texts([prompt for prompt in PROMPTS for _ in SEEDS])
    clip, known = judges.clip.embed_images(images), judges.clip.embed_images(pictures)
    pairs = pairwise_ssim(to_grey(images, 64), to_grey(pictures, 64))
    wanted = {
        "clip_score": clip_score(clip, texts).mean(),
        "clip_i": image_similarity(clip, known).mean(),
        "dino": (judges.dino.embed_images(images) @ judges.dino.embed_images(pictures).T).mean(),
        "clip_mmd": kernel_distance(clip, known),
        "ssim": pairs.mean(),
        "ssim_nearest": pairs.amax(dim=1).mean(),
        "memorised_share": scores.per_sample["memorised_share"].mean(),
    }
    assert list(figures) == list(wanted)
    for name, value in wanted.items():
        assert figures[name].value == pytest.approx(float(value), abs=1e-4), name
        assert figures[name].low <= figures[name].value <= figures[name].high
        assert figures[name].count == 4
    assert set(scores.per_sample) == set(wanted) - {"clip_mmd"}


def test_what_is_not_measured_is_said_with_its_reason(training, judges, monkeypatch):
    messages = []
    monkeypatch.setattr(module, "rank_zero_info", messages.append)
    Suite(training, replace(judges, dino=None), PROMPTS, SEEDS, num_class_prompts=0, size=(64, 64))
    assert messages == [
        "Not measured: style score (no such judge is loaded), DINO (no such judge is loaded), "
        "diversity (it needs two seeds), class drift (it needs `class_prompts`)."
    ]


def test_values_that_are_not_finite_are_no_figure_and_that_is_said(
    training, judges, monkeypatch, caplog
):
    broken = replace(BRIGHTNESS, values=lambda samples: torch.tensor([0.5, torch.nan, 0.1, 0.2]))
    monkeypatch.setitem(METRICS, "brightness", broken)
    suite = Suite(training, judges, PROMPTS, SEEDS, num_class_prompts=0, size=(64, 64))
    scores = suite.score(random_images(4, seed=1))
    assert "brightness" not in scores.rows
    assert "clip_i" in scores.rows
    assert "Not measured here: brightness (of 1 of 4 samples it is not a finite" in caplog.text


def test_metrics_that_need_no_judge_are_measured_without_any(training, monkeypatch):
    monkeypatch.setattr(module, "METRICS", {"brightness": BRIGHTNESS})
    suite = Suite(training, Judges(), PROMPTS, SEEDS, num_class_prompts=0, size=(64, 64))
    images = random_images(4, seed=1)
    scores = suite.score(images)
    assert list(suite.figures(scores)) == ["brightness"]
    assert suite.figures(scores)["brightness"].value == pytest.approx(float(images.mean()))
    assert scores.nearest == []
    read = torch.cat(list(suite.reference.read()))
    assert read.shape == (6, 3, 64, 64)


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
    figures, of_base = suite.figures(tuned), suite.figures(base)
    assert found["ssim_nearest"].difference > 0.1
    assert found["ssim_nearest"].difference == pytest.approx(
        figures["ssim_nearest"].value - of_base["ssim_nearest"].value
    )
    assert found["clip_mmd"].difference == pytest.approx(
        figures["clip_mmd"].value - of_base["clip_mmd"].value
    )
    assert "class_drift" not in of_base
    assert "class_drift" not in found
    assert 0.0 < figures["class_drift"].value < 2.0
    # two prompts of two seeds: intervals are wide, but no wider than the figures can be
    for metric in suite.metrics:
        figure = figures[metric.name]
        assert metric.lowest <= figure.low <= figure.value <= figure.high <= metric.highest
    assert suite.figures(suite.score(pictures[:4], random_images(2, seed=2), base))[
        "class_drift"
    ].value == pytest.approx(0.0, abs=1e-6)
