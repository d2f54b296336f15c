"""Scores of a run as they come, and its end by them, with a thread in the place of training."""

import threading
from dataclasses import replace

import pytest

from sdtune.comparison import scored_run
from sdtune.comparison.execution import Outcome, read_outcome, write_outcome
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.scored_run import ScoredRun
from tests.comparison.runs import make_evaluation

WHOLE = make_evaluation([30.0, 31.0, 32.0, 33.0])


class Training:
    """Stands in for a run's process: scores checkpoints when told, and ends when asked."""

    def __init__(self, plan):
        self.plan = plan
        self.told = threading.Event()
        self.asked = threading.Event()
        self.starts = 0

    def score(self, *values, finished=False):
        [base, tuned] = WHOLE.checkpoints
        figure = tuned.figures["clip_score"]
        scored = [replace(tuned, figures={"clip_score": replace(figure, value=v)}) for v in values]
        record = replace(WHOLE, finished=finished, checkpoints=[base, *scored])
        record.save(self.plan.folder / "evaluation.json")

    def carry_out(self, plan):
        self.starts += 1
        while not (self.told.wait(0.01) or self.asked.is_set()):
            pass
        status = "finished" if self.told.is_set() else "failed"
        return write_outcome(plan, Outcome(plan.name, status, "x", "c", 1.0, str(plan.folder)))

    def stop(self, folder):
        assert folder == self.plan.folder
        self.asked.set()


@pytest.fixture
def training(tmp_path, monkeypatch):
    plan = PlannedRun("a", "r", {}, (), "digest", tmp_path)
    plan.folder.mkdir(parents=True)
    plan.start_folder.mkdir(parents=True)
    training = Training(plan)
    monkeypatch.setattr(scored_run, "training_process", lambda folder: training)
    return training


def scored(training, metric="clip_score", pause=None):
    return ScoredRun(training.plan, metric, training.carry_out, pause or (lambda: None))


def test_each_score_is_given_once_and_the_last_one_says_so(training):
    run = scored(training)
    training.score(20.0, 21.0)
    assert run.next_score() == (1, 20.0, False)
    assert run.next_score() == (2, 21.0, False)
    training.score(20.0, 21.0, 25.0, finished=True)
    training.told.set()
    run._thread.join()
    assert run.next_score() == (3, 25.0, True)
    assert run.next_score() == (3, 25.0, True)  # where that it ended is known later
    run.stop()
    assert read_outcome(training.plan).status == "finished"


def test_one_that_is_stopped_is_noted_and_not_started_again(training):
    run = scored(training)
    training.score(20.0)
    assert run.next_score() == (1, 20.0, False)
    run.stop()
    outcome = read_outcome(training.plan)
    assert (outcome.status, outcome.seconds) == ("stopped", 1.0)
    assert outcome.reason == "ASHA ended it by its `clip_score` at evaluation 1."
    again = scored(training)
    assert again.next_score() == (1, 20.0, True)
    assert training.starts == 1


def test_a_failure_is_told_and_a_metric_that_is_not_measured_too(training):
    run = scored(training, pause=training.asked.set)
    with pytest.raises(ValueError, match=r"^x$"):
        run.next_score()
    training.score(20.0)
    with pytest.raises(ValueError, match=r"`dino` to be measured in .*, but there are clip_score"):
        scored(training, "dino").next_score()
