from dataclasses import replace

import pytest
import torch

from sdtune.evaluation import judges as module
from sdtune.evaluation.judges import judge_problems, load_judges, missing_needs
from sdtune.metrics import registry
from sdtune.metrics.registry import METRICS
from tests.evaluation.test_settings import protocol
from tests.metrics.brightness import BRIGHTNESS


def test_what_is_not_given_is_left_out_and_it_is_known_why(judge_folders):
    before = torch.get_rng_state()
    judges = load_judges(str(judge_folders[0]), None, num_seeds=1)
    assert (judges.dino, judges.lpips) == (None, None)
    assert judges.missing == {
        "dino": "give `dino` a model, such as facebook/dinov2-small",
        "lpips": "it needs two seeds",
    }
    assert torch.equal(torch.get_rng_state(), before)


def test_diversity_is_left_out_without_its_extra_or_weights(judge_folders, monkeypatch):
    def fail():
        raise ValueError("AlexNet is not here.")

    monkeypatch.setattr(module, "load_lpips", fail)
    for available, message in (
        (False, 'it needs pip install "sdtune[lpips]"'),
        (True, "AlexNet is not here"),
    ):
        monkeypatch.setattr(module, "TORCHVISION_AVAILABLE", available)
        judges = load_judges(str(judge_folders[0]), None, num_seeds=2)
        assert (judges.lpips, judges.missing["lpips"]) == (None, message)


def test_a_judge_that_no_metric_needs_is_not_loaded(monkeypatch):
    monkeypatch.setattr(registry, "METRICS", {"brightness": BRIGHTNESS})
    judges = load_judges("somebody/clip", "somebody/dino", num_seeds=2)
    assert (judges.clip, judges.dino, judges.lpips) == (None, None, None)
    assert judge_problems("somebody/clip", "somebody/dino") == []
    monkeypatch.setattr(registry, "METRICS", {"dino": METRICS["dino"]})
    assert len(judge_problems("somebody/clip", "somebody/dino")) == 1
    with pytest.raises(ValueError, match="somebody/dino is neither"):
        load_judges("somebody/clip", "somebody/dino", num_seeds=2)


def test_what_an_evaluation_will_lack_is_known_from_its_settings(monkeypatch):
    monkeypatch.setattr(module, "TORCHVISION_AVAILABLE", True)
    whole = protocol(seeds=[0, 1], class_prompts=["a pet"], dino="somebody/dino")
    assert missing_needs(whole, style_pictures=2) == {}
    assert set(missing_needs(replace(whole, class_prompts=[], dino=None), 0)) == {
        "class_pictures", "dino", "style"
    }  # fmt: skip


def test_problems_are_found_without_loading(judge_folders):
    clip, dino = map(str, judge_folders)
    assert judge_problems(clip, dino) == []
    assert ["to be a CLIP" in each for each in judge_problems(dino, None)] == [True]
    assert len(judge_problems("somebody/clip", "somebody/dino")) == 2
