import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from sdtune.comparison.execution import (
    carry_out,
    in_turn,
    is_finished,
    lock_problem,
    read_outcome,
    write_outcome,
)
from sdtune.comparison.planning import PlannedRun
from tests.comparison.runs import make_evaluation


@pytest.fixture
def plan(tmp_path):
    return PlannedRun("word", "word.yaml", {"trainer": {}}, (), "0123", tmp_path)


class FakeRunner:
    """Leaves what a run leaves, and remembers the last word of each command."""

    def __init__(self, plan: PlannedRun, steps: str = "finish") -> None:
        self.plan, self.steps, self.ends = plan, steps, []

    def __call__(self, command, log: Path) -> int:
        self.ends.append(command[-1])
        self.plan.folder.mkdir(parents=True, exist_ok=True)
        if self.steps == "die":
            return 9
        if self.steps == "fail":
            log.write_text("step 1\nsdtune: Expected the loss to be finite, but got nan.\n")
            return 1
        checkpoint = self.plan.folder / "checkpoints/last.ckpt"
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.touch()
        if self.steps == "interrupt":
            raise KeyboardInterrupt
        if self.steps == "finish":
            make_evaluation([1.0, 2.0, 3.0, 4.0]).save(self.plan.folder / "evaluation.json")
        return 0


def test_a_finished_run_is_not_repeated(plan):
    runner = FakeRunner(plan)
    first = carry_out(plan, runner)
    assert (first.status, first.reason, first.folder) == ("finished", "", str(plan.folder))
    assert is_finished(plan)
    assert carry_out(plan, runner) == first
    assert runner.ends == ["--run=0123"]


def test_an_interrupted_run_is_resumed(plan):
    with pytest.raises(KeyboardInterrupt):
        carry_out(plan, FakeRunner(plan, "interrupt"))
    kept = json.loads((plan.start_folder / "record.json").read_text(encoding="utf-8"))
    assert (kept["status"], kept["reason"]) == ("failed", "It was interrupted.")
    runner = FakeRunner(plan)
    record = carry_out(plan, runner)
    assert runner.ends == [f"--resume={plan.folder}"]
    assert record.status == "finished"
    assert record.seconds > kept["seconds"]


def test_time_is_told_where_it_is_known_of_the_run_that_is_shown(plan):
    outlived = FakeRunner(plan)
    outlived(["alone"], plan.start_folder / "fit.log")  # it ended with nobody there to see it
    assert carry_out(plan, FakeRunner(plan)).seconds is None
    assert read_outcome(plan).seconds is None
    record = replace(read_outcome(plan), seconds=0.0)
    write_outcome(plan, record)  # as an older sdtune wrote it
    assert carry_out(plan, FakeRunner(plan)).seconds is None
    write_outcome(plan, replace(record, seconds=5_000.0))
    assert carry_out(plan, FakeRunner(plan)).seconds == 5_000.0
    shutil.rmtree(plan.folder)
    assert carry_out(plan, FakeRunner(plan)).seconds < 100


def test_time_of_a_start_that_was_killed_is_not_known_until_it_begins_anew(plan):
    def kill(command, log: Path) -> int:
        assert read_outcome(plan).seconds is None
        kept.append((plan.start_folder / "record.json").read_bytes())
        return 9

    kept = []
    assert carry_out(plan, kill).seconds is not None
    with pytest.raises(KeyboardInterrupt):
        carry_out(plan, FakeRunner(plan, "interrupt"))
    (plan.start_folder / "record.json").write_bytes(kept[0])  # as it is after kill -9
    assert carry_out(plan, FakeRunner(plan)).seconds is None
    shutil.rmtree(plan.folder)
    assert carry_out(plan, FakeRunner(plan)).seconds is not None


def test_a_run_without_a_checkpoint_starts_anew(plan):
    carry_out(plan, FakeRunner(plan, "die"))
    (plan.folder / "half.txt").touch()
    runner = FakeRunner(plan)
    assert carry_out(plan, runner).status == "finished"
    assert runner.ends == ["--run=0123"]
    assert not (plan.folder / "half.txt").exists()


def test_a_folder_that_another_process_trains_in_is_left_alone(plan):
    carry_out(plan, FakeRunner(plan, "die"))
    record = (plan.start_folder / "record.json").read_bytes()
    (plan.folder / "half.txt").touch()
    assert lock_problem(plan) is None
    runner = FakeRunner(plan)
    with FileLock(plan.folder / ".lock", timeout=0):  # as another process has it
        outcome = carry_out(plan, runner)
        expected = f"Expected no other process to train in {plan.folder}, but one does"
        assert lock_problem(plan).startswith(expected)
    assert (outcome.status, runner.ends) == ("failed", [])
    assert outcome.reason.startswith(expected)
    assert (plan.folder / "half.txt").exists()
    assert (plan.start_folder / "record.json").read_bytes() == record
    assert carry_out(plan, runner).status == "finished"
    with FileLock(plan.folder / ".lock", timeout=0):
        assert lock_problem(plan) is None  # what is finished is only read


@pytest.mark.parametrize("kept", ["adapter/a.safetensors", "evaluation.json"])
def test_what_was_scored_or_learned_is_put_aside(plan, kept, caplog):
    for number in (1, 2):
        (plan.folder / kept).parent.mkdir(parents=True, exist_ok=True)
        (plan.folder / kept).write_text(f"{number}", encoding="utf-8")
        carry_out(plan, FakeRunner(plan, "die"))
        aside = plan.folder.with_name(f"0123_before_{number}")
        assert (aside / kept).read_text(encoding="utf-8") == f"{number}"
        assert f"it is {aside} now, and begins anew" in caplog.text
        assert not (plan.folder / kept).exists()


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ("fail", "Expected the loss to be finite, but got nan."),
        ("die", "It ended with exit code 9; see "),
        ("leave nothing", "It ended, but "),
    ],
)
def test_a_failure_has_its_reason(plan, steps, reason):
    record = carry_out(plan, FakeRunner(plan, steps))
    assert record.status == "failed"
    assert record.reason.startswith(reason)


def test_every_problem_of_a_refused_run_is_the_reason(plan):
    def refuse(command, log: Path) -> int:
        log.write_text("sdtune: 2 problems, and nothing was started:\n  - One.\n  - Two.\n")
        return 2

    assert carry_out(plan, refuse).reason == "One. Two."


def test_one_failure_does_not_stop_the_others(tmp_path):
    plans = [PlannedRun(name, "r", {}, (), name, tmp_path) for name in ("a", "b", "c")]
    outcomes = {"a": "finish", "b": "fail", "c": "finish"}
    records = in_turn(plans, lambda each: carry_out(each, FakeRunner(each, outcomes[each.name])))
    assert [each.status for each in records] == ["finished", "failed", "finished"]
