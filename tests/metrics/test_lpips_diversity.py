from __future__ import annotations

import pytest
import torch

from sdtune.metrics import lpips_diversity
from sdtune.metrics.lpips_diversity import LPIPSDiversity, diversity, load_lpips
from tests.metrics.tiny_networks import random_images


def _distance(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).abs().mean(dim=(1, 2, 3))


def test_compares_pictures_of_one_prompt():
    images = torch.tensor([0.0, 0.4, 1.0, 0.5])[:, None, None, None].expand(4, 3, 8, 8)
    values = diversity(images, ["a", "a", "a", "b"], _distance)
    torch.testing.assert_close(values[:3], torch.tensor([0.7, 0.5, 0.8]))
    assert values[3].isnan()


def test_the_same_picture_for_every_seed_has_none():
    metric = LPIPSDiversity(_distance)
    metric.update(random_images(1, seed=0).expand(3, -1, -1, -1), ["a"] * 3)
    assert metric.compute() == 0
    metric.update(random_images(2, seed=1), ["a", "b"])
    assert metric.compute() > 0.05


def test_the_extra_is_named(monkeypatch):
    def require(module, extra):
        raise ModuleNotFoundError(f'pip install "sdtune[{extra}]"')

    monkeypatch.setattr(lpips_diversity, "require", require)
    with pytest.raises(ModuleNotFoundError, match=r"sdtune\[lpips\]"):
        LPIPSDiversity()


def test_weights_out_of_reach_give_one_sentence(monkeypatch):
    import torchmetrics.image.lpip as peer

    def unreachable(*arguments, **named):
        raise OSError("no network")

    monkeypatch.setattr(lpips_diversity, "require", lambda module, extra: None)
    monkeypatch.setattr(peer, "LearnedPerceptualImagePatchSimilarity", unreachable)
    with pytest.raises(ValueError, match="not in torch's cache") as caught:
        load_lpips()
    assert "\n" not in str(caught.value)
