import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from sdtune.evaluation.best import BestRule
from sdtune.evaluation.evaluator import Evaluator
from sdtune.models import load
from sdtune.run_folder.record import Choice, Evaluation, EvaluationSettings, Provenance
from tests.metrics.tiny_networks import random_images

RUN = Provenance("recipe", "Technique", 1, 4, "cpu", {})
PROTOCOL = EvaluationSettings(["a <w> hat", "a dog"], [0, 5], ["a pet"], 2, 1.0, "", "tiny", None)


class Drawer:
    def __init__(self, seed):
        self.seed = seed
        self.calls = []

    def __call__(self, prompts, seeds):
        self.calls.append((list(prompts), list(seeds)))
        return random_images(len(prompts), seed=self.seed)


@pytest.fixture(scope="module")
def model(tiny_sd):
    return load(tiny_sd)


@pytest.fixture
def make(training, judges, tmp_path):
    def make(protocol=PROTOCOL):
        return Evaluator(
            training,
            judges,
            protocol,
            BestRule(max_memorised_share=1.0),  # to random weights all is alike
            RUN,
            tmp_path / "run",
            words={"<w>": "cat"},
            style_pictures=4,
            cache=tmp_path / "cache",
        )

    return make


def test_base_and_checkpoint_are_scored_and_written(make, model, tmp_path):
    evaluator, base, tuned = make(), Drawer(1), Drawer(2)
    evaluator.begin(model, base)
    # learned words are read as what they stand for by the base and by the judges
    assert base.calls[0] == (["a cat hat", "a cat hat", "a dog", "a dog"], [0, 5, 0, 5])
    assert base.calls[1] == (["a pet", "a pet"], [0, 5])
    assert base.calls[2][0] == ["picture 0", "picture 1", "picture 3", "picture 4"]
    evaluator.evaluate("step_000004", 4, tuned)
    assert tuned.calls[0][0][0] == "a <w> hat"
    evaluator.locate({"step_000004": "adapter/step_000004"})
    written = evaluator.save(finished=True, run_seconds=1000.0)
    record = Evaluation.load(tmp_path / "run")
    assert record == written
    assert [each.label for each in record.checkpoints] == ["base", "step_000004"]
    told = replace(
        PROTOCOL,
        style_pictures=4,
        clip_skip=1,
        max_prompt_chunks=1,
        precision="float32",
        quantization="none",
    )
    assert (record.protocol, record.choice) == (told, Choice("style", 0.1, 1.0))
    base_scores, scores = record.checkpoints
    assert base_scores.figures["style_score"].value != scores.figures["style_score"].value
    assert len(scores.per_sample["clip_score"]) == 4
    assert len(scores.per_sample["class_drift"]) == 2
    assert set(record.metrics) == set(scores.figures)
    assert scores.adapter == "adapter/step_000004"
    assert record.best.label == "step_000004"
    assert record.cost.share_of_run == pytest.approx(record.cost.seconds / 1000.0)
    with Image.open(tmp_path / "run" / scores.pictures / "prompt_01_seed_5.png") as picture:
        shown = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
    assert torch.equal(shown, (255 * random_images(4, seed=2)[3]).round().byte())
    assert (tmp_path / "run" / scores.pictures / "class_00_seed_5.png").is_file()


def test_a_second_run_does_not_draw_the_base_again(make, model):
    first, base = make(), Drawer(1)
    first.begin(model, base)
    again, nobody = make(), Drawer(3)
    again.begin(model, nobody)
    assert nobody.calls == []
    assert again.record.checkpoints == first.record.checkpoints


def test_an_earlier_start_is_taken_over_if_it_can_be_compared(make, model, caplog):
    first = make()
    first.begin(model, Drawer(1))
    first.evaluate("step_000004", 4, Drawer(2))
    past = first.save(finished=False, run_seconds=100.0)
    second = make()
    second.begin(model, Drawer(1), past=past)
    second.evaluate("step_000008", 8, Drawer(3))
    record = second.save(finished=True, run_seconds=100.0)
    assert [each.step for each in record.checkpoints] == [0, 4, 8]
    assert record.cost.run_seconds == 200.0
    assert record.cost.seconds > past.cost.seconds
    after = make()  # without a run: what the run took stays
    after.begin(model, Drawer(1), past=record)
    assert after.save(finished=True).cost == record.cost
    other = make(replace(PROTOCOL, guidance_scale=2.0))
    with caplog.at_level(logging.WARNING):
        other.begin(model, Drawer(1), past=past)
    assert [each.step for each in other.record.checkpoints] == [0]
    assert "cannot be compared: another protocol" in caplog.text


def test_what_the_base_draws_must_be_finite(make, model):
    def draw(prompts, seeds):
        return random_images(len(prompts), seed=1) / 0.0

    evaluator = make()
    with pytest.raises(ValueError, match="compared with the base: 4 of its pictures hold values"):
        evaluator.begin(model, draw)
    evaluator.begin(model, Drawer(1))  # nothing of it was kept
    assert evaluator.record.checkpoints[0].figures["clip_score"].count == 4


def test_a_checkpoint_of_what_is_not_finite_has_no_scores(make, model, caplog):
    evaluator = make()
    evaluator.begin(model, Drawer(1))

    def draw(prompts, seeds):
        images = random_images(len(prompts), seed=2)
        images[0] = torch.inf
        return images

    lost = evaluator.evaluate("step_000004", 4, draw)
    assert (lost.figures, lost.per_sample, lost.against_base, lost.nearest) == ({}, {}, {}, [])
    assert "step_000004 is not scored: 2 of its pictures hold" in caplog.text  # one of the class
    record = evaluator.save(finished=True)
    assert record.best.label is None
    assert "Its pictures are not finite numbers" in record.best.reason


def test_pictures_need_not_be_square_and_the_record_says_how_they_are(make, model, tmp_path):
    def draw(prompts, seeds):
        return random_images(len(prompts), seed=1)[..., :32, :]

    square = make()
    square.begin(model, Drawer(1))
    assert square.record.size == (64, 64)
    wide = make(replace(PROTOCOL, width=64, height=32))
    wide.begin(model, draw)  # and does not find the square ones in the cache
    wide.evaluate("step_000004", 4, draw)
    wide.save(finished=True)
    record = Evaluation.load(tmp_path / "run")
    assert (record.size, record.protocol.width, record.protocol.height) == ((64, 32), 64, 32)
    assert record.training_pictures.kept == wide.training.kept((64, 32))
    with Image.open(
        tmp_path / "run" / record.checkpoints[1].pictures / "prompt_00_seed_0.png"
    ) as p:
        assert p.size == (64, 32)
    assert record.checkpoints[1].figures["ssim"].count == 4
