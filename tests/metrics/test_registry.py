from dataclasses import replace

import pytest

from sdtune.metrics import registry
from sdtune.metrics.registry import METRICS, find_metric, measurable, needed, register
from tests.metrics.brightness import BRIGHTNESS


def test_every_metric_is_described_in_plain_words():
    assert list(METRICS) == [
        "clip_score", "style_score", "clip_i", "dino", "clip_mmd", "ssim", "ssim_nearest",
        "lpips_diversity", "memorised_share", "class_drift",
    ]  # fmt: skip
    lower = [name for name, each in METRICS.items() if not each.higher_is_better]
    assert lower == ["clip_mmd", "memorised_share", "class_drift"]
    for each in METRICS.values():
        assert each.title
        assert each.meaning.endswith(".")
        assert each.limits.endswith(".")


def test_what_is_registered_last_is_shown_last(monkeypatch):
    monkeypatch.setattr(registry, "METRICS", dict(METRICS))
    assert register(BRIGHTNESS) is BRIGHTNESS
    assert list(registry.METRICS)[-1] == "brightness"
    assert register(BRIGHTNESS) is find_metric("brightness")
    with pytest.raises(ValueError, match="but `brightness` is registered"):
        register(replace(BRIGHTNESS, title="another"))
    with pytest.raises(ValueError, match="but got `My metric`"):
        register(replace(BRIGHTNESS, name="My metric"))


def test_needs_of_what_is_not_measured_are_none(monkeypatch):
    assert needed() == {
        "clip", "dino", "grey", "lpips", "style", "training", "class_pictures", "base"
    }  # fmt: skip
    assert "lpips" not in needed({"lpips": "why"})
    left = [each.name for each in measurable(["clip"])]
    assert left == ["style_score", "dino", "ssim", "ssim_nearest", "lpips_diversity"]
    monkeypatch.setattr(registry, "METRICS", {"brightness": BRIGHTNESS})
    assert needed() == set()
