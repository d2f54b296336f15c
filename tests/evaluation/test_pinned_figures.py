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

BASE = "be1da5295f05e31c146fbdd65dae59ecd6b771b37814e38027b60255d02ee311"
"""Fingerprint of the tiny model with which they were measured."""

FIGURES = {
    "base": {
        "clip_score": (-14.9363, -43.4948, 7.70475, 6),
        "style_score": (-0.0528954, -0.0838817, 0.0706935, 6),
        "clip_i": (0.729541, 0.63786, 0.825462, 6),
        "dino": (0.359174, 0.233223, 0.492647, 6),
        "clip_mmd": (-0.306633, -2.29958, 3.76341, 6),
        "ssim": (0.126628, 0.0809814, 0.166551, 6),
        "ssim_nearest": (0.246104, 0.120517, 0.399376, 6),
        "lpips_diversity": (0.226504, 0.22288, 0.231036, 6),
        "memorised_share": (0.333333, 0.0, 1.0, 6),
    },
    "step_000004": {
        "clip_score": (-15.4896, -40.0608, 21.1047, 6),
        "style_score": (0.0293982, -0.101731, 0.11772, 6),
        "clip_i": (0.728072, 0.617447, 0.800487, 6),
        "dino": (0.437654, 0.331558, 0.520991, 6),
        "clip_mmd": (-0.113007, -1.4641, 2.08077, 6),
        "ssim": (0.0894562, 0.0584846, 0.138976, 6),
        "ssim_nearest": (0.183824, 0.15175, 0.221097, 6),
        "lpips_diversity": (0.232516, 0.222069, 0.252909, 6),
        "memorised_share": (0.333333, 0.0, 1.0, 6),
        "class_drift": (0.265747, 0.197395, 0.328429, 4),
    },
    "step_000008": {
        "clip_score": (-10.0773, -39.9417, 15.8468, 6),
        "style_score": (-0.0548998, -0.159403, 0.0468212, 6),
        "clip_i": (0.780298, 0.614707, 0.857768, 6),
        "dino": (0.512685, 0.446003, 0.561109, 6),
        "clip_mmd": (-0.776382, -2.33821, 0.681343, 6),
        "ssim": (0.282681, 0.162901, 0.328132, 6),
        "ssim_nearest": (0.875152, 0.25091, 1.0, 6),
        "lpips_diversity": (0.233575, 0.227796, 0.24267, 6),
        "memorised_share": (0.833333, 0.0, 1.0, 6),
        "class_drift": (0.296839, 0.166612, 0.466157, 4),
    },
}
"""Checkpoint -> metric -> value, interval, samples."""

DIFFERENCES = {
    "clip_score": (4.85906, -20.072, 19.5884, "no difference seen"),
    "style_score": (-0.00200449, -0.115435, 0.122197, "no difference seen"),
    "clip_i": (0.0507567, -0.0231525, 0.20698, "no difference seen"),
    "dino": (0.15351, 0.0435668, 0.327886, "better"),
    "clip_mmd": (-0.469749, -6.0894, 1.98867, "no difference seen"),
    "ssim": (0.156054, 0.0640242, 0.247151, "better"),
    "ssim_nearest": (0.629048, 0.0820067, 0.879483, "better"),
    "lpips_diversity": (0.00707126, -0.000778049, 0.0170758, "no difference seen"),
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


@pytest.fixture(autouse=True)
def the_base_is_the_one_of_the_figures(record):
    if record.base.fingerprint != BASE:
        pytest.skip("this release of diffusers draws the tiny model's random weights otherwise")


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
        "33% of its pictures are taken for copies.",
        "83% of its pictures are taken for copies.",
    ]
