from dataclasses import replace

import pytest

from sdtune.report.facts import count_sentence, facts, nearest_sentence, notices, summary
from sdtune.report.run import ReportedRun, read_run
from sdtune.run_folder.picture_losses import PictureLoss


@pytest.fixture(scope="module")
def run(whole_run):
    return read_run(whole_run)


def test_a_run_in_a_sentence(run):
    assert summary(run) == (
        "LoRAStyleModule on CompVis/stable-diffusion-v1-4 with 4 pictures, 400 steps."
    )
    assert list(notices(run)) == []


def test_an_unfinished_run_says_how_far_it_got(run):
    stopped = replace(run, evaluation=replace(run.evaluation, finished=False))
    assert summary(stopped).endswith("400 of 400 steps.")
    (notice,) = notices(stopped)
    assert notice.startswith("This run is not finished: it got to step 400 of 400")


def test_a_run_that_ended_by_time_took_the_steps_that_it_took(run):
    config = {**run.config, "trainer": {"max_steps": 600}}
    timed = replace(run, config=config)
    assert summary(timed).endswith("400 of 600 steps.")
    assert dict(facts(timed))["steps"] == "400 of 600"
    assert list(notices(timed)) == []


def test_an_empty_folder_is_told_of_too(tmp_path):
    run = ReportedRun(tmp_path, problems=["config.yaml is missing."])
    assert summary(run) == "A technique that is not recorded, 0 steps."
    unfinished, unscored, problem = notices(run)
    assert "not finished" in unfinished
    assert "sdtune.EvaluationCallback" in unscored
    assert problem == "config.yaml is missing."
    assert dict(facts(run))["steps"] == "0"


def test_a_quantised_base_is_told_of(run):
    model = {**run.config["model"]}
    model["init_args"] = {**model["init_args"], "quantization": "nf4"}
    found = dict(facts(replace(run, config={**run.config, "model": model})))
    said = "CompVis/stable-diffusion-v1-4, its linear layers quantised while training (nf4), SHA-"
    assert found["base"].startswith(said)


def test_what_a_repetition_needs_is_there(run):
    found = dict(facts(run))
    assert found["base"] == f"CompVis/stable-diffusion-v1-4, SHA-256 {'ab' * 32}"
    assert found["training pictures"].endswith(f"pictures, SHA-256 {'cd' * 32}")
    assert found["seed"] == "7"
    assert found["versions"] == "sdtune 0.1.0, torch 2.13.0"
    assert found["evaluation took"] == "41 s, 12 % of the run: 33 s to draw, 8 s to score"


@pytest.mark.parametrize(
    ("copies", "start"), [(0, "None of the 2"), (1, "1 of the 2 samples is"), (2, "2 of the 2")]
)
def test_copies_are_counted(run, copies, start):
    checkpoint = run.shown
    nearest = [
        replace(each, memorised=number < copies) for number, each in enumerate(checkpoint.nearest)
    ]
    assert nearest_sentence(replace(checkpoint, nearest=nearest)).startswith(start)


def test_few_counts_are_called_few():
    losses = [PictureLoss(0.1, 1.0, count) for count in (8, 29, 500)]
    assert "about 29 times, which is few" in count_sentence(losses)
    assert count_sentence(losses[1:]) == "Each picture was trained on about 500 times."
    assert count_sentence([]) == ""
