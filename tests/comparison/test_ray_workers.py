import os
import time
from pathlib import Path

import pytest

from sdtune._imports import RAY_AVAILABLE
from sdtune.comparison.execution import Outcome
from sdtune.comparison.planning import PlannedRun
from sdtune.comparison.ray_workers import RayWorkers

needs_ray = pytest.mark.skipif(not RAY_AVAILABLE, reason='needs pip install "sdtune[ray]"')


def wait_for_the_other(plan: PlannedRun) -> Outcome:
    """Succeed only if another run is under way at the same time."""
    import ray

    (plan.output / plan.name).touch()
    deadline = time.monotonic() + 20
    while len(list(plan.output.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    met = len(list(plan.output.iterdir())) >= 2
    node = ray.get_runtime_context().get_node_id()
    return Outcome(plan.name, "finished" if met else "failed", node, os.getcwd(), 0.0, "")


@needs_ray
@pytest.mark.slow
def test_two_workers_run_side_by_side_and_take_what_waits(tmp_path, monkeypatch):
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, include_dashboard=False)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        plans = [PlannedRun(name, "r", {}, (), name, tmp_path) for name in ("a", "b", "c")]
        records = list(RayWorkers(2)(plans, wait_for_the_other))
    finally:
        cluster.shutdown()
    assert sorted(record.name for record in records) == ["a", "b", "c"]
    assert {record.status for record in records} == {"finished"}
    assert len({record.reason for record in records}) == 2  # both nodes had work
    assert {Path(record.command) for record in records} == {Path.cwd()}


@needs_ray
def test_the_number_of_workers_is_positive():
    with pytest.raises(ValueError, match="number of workers to be positive, but got 0"):
        RayWorkers(0)


def test_without_ray_the_pip_command_is_named(monkeypatch):
    monkeypatch.setattr("sdtune._imports.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "sdtune\[ray\]"'):
        RayWorkers(2)
