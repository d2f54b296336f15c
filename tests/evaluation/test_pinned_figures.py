"""Every figure, interval and verdict of one evaluation by tiny judges, as they were first measured.

Whatever is rebuilt around the metrics, these stay.
"""

from dataclasses import replace

import pytest
import torch

from sdtune.evaluation.best import BestRule
from sdtune.evaluation.evaluator import Evaluator
from sdtune.evaluation.training_set import TrainingSet
from sdtune.models import load
from tests.evaluation.test_evaluator import PROTOCOL, RUN
from tests.metrics.tiny_networks import random_images
from tests.metrics.tiny_samples import pixel_distance

FIGURES = {
    "base": {
        "clip_score": (5.50247, -47.0361, 58.041, 6),
        "style_score": (-0.0669584, -0.156688, 0.0227715, 6),
        "clip_i": (0.487684, 0.282535, 0.613132, 6),
        "dino": (0.457475, 0.360662, 0.560984, 6),
        "clip_mmd": (0.266498, -5.31471, 5.84771, 6),
        "ssim": (0.126628, 0.0778776, 0.175378, 6),
        "ssim_nearest": (0.246104, 0.120517, 0.399375, 6),
        "lpips_diversity": (0.226504, 0.216186, 0.236821, 6),
        "memorised_share": (0.5, 0.0, 1.0, 6),
    },
    "step_000004": {
        "clip_score": (-2.70621, -35.3213, 37.1282, 6),
        "style_score": (-0.0543424, -0.205484, 0.0967992, 6),
        "clip_i": (0.510684, 0.36129, 0.660078, 6),
        "dino": (0.445867, 0.279983, 0.611752, 6),
        "clip_mmd": (-0.230265, -4.57404, 4.11351, 6),
        "ssim": (0.0894565, 0.0582118, 0.138977, 6),
        "ssim_nearest": (0.183824, 0.146852, 0.221097, 6),
        "lpips_diversity": (0.232516, 0.188641, 0.276392, 6),
        "memorised_share": (0.833333, 0.0, 1.0, 6),
        "class_drift": (0.501779, 0.0, 1.79732, 4),
    },
    "step_000008": {
        "clip_score": (-9.7586, -27.6717, 16.606, 6),
        "style_score": (0.0113931, -0.084428, 0.166597, 6),
        "clip_i": (0.527938, 0.467255, 0.588621, 6),
        "dino": (0.503599, 0.317328, 0.68987, 6),
        "clip_mmd": (-1.94249, -7.4201, 3.53513, 6),
        "ssim": (0.282682, 0.145604, 0.41976, 6),
        "ssim_nearest": (0.875152, 0.250911, 1.0, 6),
        "lpips_diversity": (0.233575, 0.21377, 0.25338, 6),
        "memorised_share": (1.0, 1.0, 1.0, 6),
        "class_drift": (0.490759, 0.0, 2.0, 4),
    },
}
"""Checkpoint -> metric -> value, interval, samples."""

DIFFERENCES = {
    "clip_score": (-15.2611, -69.0776, 38.5555, "no difference seen"),
    "style_score": (0.0783515, 0.0113055, 0.144764, "better"),
    "clip_i": (0.040254, -0.13196, 0.221646, "no difference seen"),
    "dino": (0.0461238, -0.15896, 0.251208, "no difference seen"),
    "clip_mmd": (-2.20898, -10.5713, 6.15336, "no difference seen"),
    "ssim": (0.156054, 0.000429359, 0.311679, "better"),
    "ssim_nearest": (0.629048, 0.0820075, 1.14069, "better"),
    "lpips_diversity": (0.00707126, -0.015584, 0.0297265, "no difference seen"),
    "memorised_share": (0.5, 0.0, 1.0, "no difference seen"),
}
"""Metric -> difference of the last checkpoint from the base, interval, verdict."""


@pytest.fixture(scope="module")
def record(training, judges, tiny_sd, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pinned")
    pictures = TrainingSet(training.pictures[:5], held_out=training.pictures[5:])
    asked = replace(
        PROTOCOL, prompts=["a <w> hat", "a dog", "a car"], class_prompts=["a pet", "a thing"]
    )
    evaluator = Evaluator(
        pictures,
        replace(judges, lpips=pixel_distance),
        asked,
        BestRule(),
        RUN,
        folder / "run",
        words={"<w>": "cat"},
        style_pictures=4,
        cache=folder / "cache",
    )
    known = torch.cat(list(training.read(pictures.pictures, (64, 64))))
    copied = torch.cat([known, random_images(9, seed=3)])
    evaluator.begin(load(tiny_sd), lambda prompts, seeds: random_images(len(prompts), seed=1))
    evaluator.evaluate("step_000004", 4, lambda prompts, _: random_images(len(prompts), seed=2))
    evaluator.evaluate("step_000008", 8, lambda prompts, _: copied[: len(prompts)])
    return evaluator.save(finished=True)


@pytest.mark.parametrize("label", FIGURES)
def test_figures(record, label):
    found = record.checkpoint(label).figures
    assert list(found) == list(FIGURES[label])
    for name, (value, low, high, count) in FIGURES[label].items():
        figure = found[name]
        shown = (figure.value, figure.low, figure.high)
        assert shown == pytest.approx((value, low, high), rel=1e-4, abs=1e-4), name
        assert figure.count == count


def test_differences(record):
    found = record.checkpoints[-1].against_base
    assert list(found) == list(DIFFERENCES)
    for name, (difference, low, high, verdict) in DIFFERENCES.items():
        shown = (found[name].difference, found[name].low, found[name].high)
        assert shown == pytest.approx((difference, low, high), rel=1e-4, abs=1e-4), name
        assert found[name].verdict == verdict


def test_best(record):
    assert record.best.label is None
    assert [each.reason for each in record.best.excluded] == [
        "83% of its pictures are taken for copies.",
        "100% of its pictures are taken for copies.",
    ]
