import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sdtune._imports import RAY_AVAILABLE
from sdtune.comparison.agreement import rung_problems
from sdtune.comparison.execution import carry_out
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.ray_tune import RayTune
from sdtune.comparison.results import read_result
from tests.comparison.runs import make_evaluation

_TRAINING = """
import shutil, signal, sys, time
from pathlib import Path
from sdtune.run_folder.run_lock import RunLock
folder = Path(sys.argv[1])
lock = RunLock(folder)
lock.acquire()
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
for number in range(1, int(sys.argv[2]) + 1):
    shutil.copy(folder.parents[1] / f"{folder.parent.name}_{number}.json", folder / "new")
    (folder / "new").rename(folder / "evaluation.json")
    time.sleep(0.3)
"""

needs_ray = pytest.mark.skipif(not RAY_AVAILABLE, reason='needs pip install "sdtune[ray]"')


def planned(name, tmp_path, every=100):
    callback = {"class_path": "sdtune.EvaluationCallback", "init_args": {"every_n_steps": every}}
    return PlannedRun(name, "r", {"trainer": {"callbacks": [callback]}}, (), name, tmp_path)


def test_runs_must_be_evaluated_at_the_same_steps(tmp_path):
    plans = [planned("a", tmp_path), planned("b", tmp_path), planned("c", tmp_path, 50)]
    [problem] = rung_problems(plans)
    assert problem.startswith("Expected `c` to be evaluated as often as `a` is, every 100 steps")
    assert problem.endswith("is 50.")


def test_a_metric_is_known():
    with pytest.raises(ValueError, match="style"):
        RayTune(2, "stile_score")


def start(command, log):
    """Start what scores two checkpoints and is finished, or many if nobody ends it."""
    name = Path(command[3].removeprefix("--config=")).stem
    number = "2" if name == "good" else "40"
    folder = log.parents[2] / name / "digest"
    return subprocess.run([sys.executable, "-c", _TRAINING, str(folder), number]).returncode


@needs_ray
@pytest.mark.slow
def test_a_run_whose_scores_are_low_is_ended_and_the_others_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]))
    for name, score, count in (("good", 40.0, 2), ("bad", 20.0, 40)):
        record = make_evaluation([score] * 4)
        [base, tuned] = record.checkpoints
        for number in range(1, count + 1):
            now = replace(record, finished=number == count, checkpoints=[base, *[tuned] * number])
            now.save(tmp_path / f"{name}_{number}.json")
    plans = [
        PlannedRun(name, "r", {"trainer": {}}, (), "digest", tmp_path) for name in ("good", "bad")
    ]
    good, bad = RayTune(1, "clip_score")(plans, partial(carry_out, start=start))
    assert (good.status, good.reason) == ("finished", "")
    assert bad.status == "stopped"
    assert bad.reason == "ASHA ended it by its `clip_score` at evaluation 1."
    assert bad.seconds < 40 * 0.3
    assert read_result(plans[1], "bad", bad).last.figures["clip_score"].value == 20.0
