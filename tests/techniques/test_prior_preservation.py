from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sdtune.models import load
from sdtune.models.quantization import quantize_base
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.prior_preservation import PriorPreservation


def test_all_bad_arguments_are_listed_at_once() -> None:
    PriorPreservation(0.0, 1, 0.0).check()
    with pytest.raises(ValueError, match="`prior_loss_weight` to be 0 or more") as caught:
        PriorPreservation(-1.0, 0, -1.0).check()
    assert len(str(caught.value).splitlines()) == 3


def test_class_pictures_bring_the_weights_of_their_places() -> None:
    batch = {
        "moments": torch.zeros(1, 3),
        "loss_weights": torch.full((1, 1, 2, 2), 0.5),
        "caption": ["it"],
        "index": [0],
    }
    batch |= {"class_moments": torch.ones(1, 3), "class_caption": ["a cat"]}
    batch |= {"class_loss_weights": torch.ones(1, 1, 2, 2)}
    joint = PriorPreservation(1.0, 1, 0.0).joined(batch)
    assert joint["loss_weights"].mean(dim=(1, 2, 3)).tolist() == [0.5, 1.0]


@pytest.mark.parametrize("pixels", ["moments", "pixel_values"])
def test_a_joint_batch_is_the_subjects_and_then_their_classes(pixels: str) -> None:
    batch = {
        pixels: torch.zeros(2, 3),
        "caption": ["an erica cat", "a hazel rabbit"],
        "index": [4, 0],
        f"class_{pixels}": torch.ones(2, 3),
        "class_caption": ["a cat", "a rabbit"],
        "class_index": [1, 1],
    }
    joint = PriorPreservation(1.0, 1, 0.0).joined(batch)
    assert joint[pixels].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
    assert joint["caption"] == ["an erica cat", "a hazel rabbit", "a cat", "a rabbit"]
    assert len(set(joint["index"])) == 4


def test_a_quantised_base_has_class_pictures_of_its_own(micro_sd: Path) -> None:
    drawers: list[dict[str, Any]] = []

    class Data:
        def make_class_pictures(self, draw: object, drawer: str) -> None:
            drawers.append(json.loads(drawer))

    technique, data = DreamBoothModule(str(micro_sd)), Data()
    technique.model = load(str(micro_sd))
    prior = PriorPreservation(1.0, 1, 0.0)
    prior.make_class_pictures(technique, data)
    quantize_base(technique.model, "int8")
    prior.make_class_pictures(technique, data)
    plain, quantised = drawers
    assert quantised.pop("base") != plain.pop("base")
    assert quantised == plain
