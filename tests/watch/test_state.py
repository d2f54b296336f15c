import os
from dataclasses import replace

import pytest

from sdtune.report.run import ReportedRun
from sdtune.run_folder.curves import Curve
from sdtune.run_folder.resumes import Resume
from sdtune.run_folder.run_process import note_process, note_steps
from sdtune.watch.state import Rate, rate_of, state_of
from sdtune.watch.words import live_words
from tests.adapters.test_adapter_files import write
from tests.report.run_folder import make_evaluation

LOSS = Curve("train/loss", [9, 19, 29, 39], [0.3] * 4, [0.0, 5.0, 100.0, 104.0])


def test_the_rate_is_that_of_the_latest_start():
    assert rate_of(LOSS) == Rate(39, pytest.approx(104 / 30))
    assert rate_of(LOSS, since=20) == Rate(39, pytest.approx(0.4))  # resumed after 95 s
    assert rate_of(LOSS, since=30) is None
    assert rate_of(None) is None


@pytest.fixture
def run(tmp_path):
    events = tmp_path / "events.out.tfevents.1.host"
    events.touch()
    os.utime(events, (1000, 1000))
    config = {"trainer": {"max_steps": 139}}
    return ReportedRun(tmp_path, config, curves={"train/loss": LOSS}, resumes=[Resume(20, [])])


def test_time_left_is_steps_times_rate_less_the_time_since(run, monkeypatch):
    note_process(run.folder)
    monkeypatch.setattr("sdtune.run_folder.run_process._has_open", lambda *_: True)
    state = state_of(run, now=1010.0)
    assert (state.doing, state.step, state.steps) == ("training", 39, 139)
    assert state.seconds_left == pytest.approx(100 * 0.4 - 10)
    assert state.can_stop
    resumed = replace(run, resumes=[Resume(40, [])])  # and has not come to a step yet
    assert not state_of(resumed).can_stop
    assert live_words(state).heading == "Training: step 39 of 139"
    assert live_words(state).rows == [("time left", "about 30 s"), ("speed", "2.5 steps a second")]
    assert live_words(state, asked_to_stop=True).heading == "Stopping after this step"
    late = live_words(state_of(run, now=1090.0))
    assert late.rows[0] == ("time left", "about 0 s")
    assert late.rows[-1] == ("last sign of life", "1 min 30 s ago")


def test_epochs_are_the_steps_that_the_record_of_scores_names(run, tmp_path, monkeypatch):
    note_process(run.folder)
    monkeypatch.setattr("sdtune.run_folder.run_process._has_open", lambda *_: True)
    epochs = replace(run, config={"trainer": {"max_epochs": 10, "max_steps": -1}})
    assert state_of(epochs, now=1010.0).seconds_left is None
    scored = replace(epochs, evaluation=make_evaluation(tmp_path))
    assert state_of(scored, now=1010.0).seconds_left == pytest.approx((400 - 39) * 0.4 - 10)


def test_epochs_are_the_steps_that_the_process_has_written_down(run, monkeypatch):
    monkeypatch.setattr("sdtune.run_folder.run_process._has_open", lambda *_: True)
    epochs = replace(run, config={"trainer": {"max_epochs": 10, "max_steps": -1}})
    note_process(run.folder)
    why = "for nothing in the run's folder says how many steps it takes"
    unknown = ("time left", f"not known, {why}")
    assert live_words(state_of(epochs, now=1010.0)).rows[0] == unknown
    note_steps(run.folder, 239)
    state = state_of(epochs, now=1010.0)
    assert (state.steps, state.seconds_left) == (239, pytest.approx(200 * 0.4 - 10))
    assert live_words(state).heading == "Training: step 39 of 239"
    note_steps(run.folder, None)
    assert live_words(state_of(epochs, now=1010.0)).rows[0] == unknown
    early = replace(run, resumes=[Resume(35, [])])
    said = ("time left", "not known before two steps are logged")
    assert live_words(state_of(early, now=1010.0)).rows[0] == said


def test_a_run_without_a_process_has_ended_or_is_finished(run):
    state = state_of(run, now=1010.0)
    assert (state.doing, state.seconds_left) == ("ended", None)
    assert live_words(state).heading == "Not training: it got to step 39 of 139"
    (run.folder / "checkpoints").mkdir()
    (run.folder / "checkpoints" / "last.ckpt").touch()
    assert "With --resume it goes on" in live_words(state_of(run)).note
    (run.folder / "adapter").mkdir()
    write(run.folder / "adapter", steps="100")  # it ended by time, and its curve at step 39
    state = state_of(run)
    assert (state.doing, state.step, live_words(state).heading) == ("finished", 100, "Finished")
