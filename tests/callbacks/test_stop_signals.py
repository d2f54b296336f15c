import signal
from types import SimpleNamespace

import pytest
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment

from sdtune.callbacks.stop_signals import Stopped, requeue


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A `scontrol` that notes what it is asked for."""
    command = tmp_path / "scontrol"
    command.write_text('#!/bin/sh\necho "$@" >> "$(dirname "$0")/asked"\n', encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "42")
    return tmp_path / "asked"


def trainer(environment, first=True):
    connector = SimpleNamespace(cluster_environment=environment)
    return SimpleNamespace(_accelerator_connector=connector, is_global_zero=first)


def test_a_job_is_put_into_the_queue_again_by_the_signal_for_that_alone(queue):
    slurm = SLURMEnvironment()
    assert not requeue(trainer(slurm), signal.SIGTERM)
    assert not requeue(trainer(slurm, first=False), signal.SIGUSR1)
    assert not requeue(trainer(SLURMEnvironment(auto_requeue=False)), signal.SIGUSR1)
    assert not requeue(trainer(LightningEnvironment()), signal.SIGUSR1)
    assert not queue.exists()
    assert requeue(trainer(slurm), signal.SIGUSR1)
    assert queue.read_text() == "requeue 42\n"


def test_a_queue_that_refuses_is_said(queue, tmp_path):
    (tmp_path / "scontrol").write_text("#!/bin/sh\necho no such job >&2; exit 1\n")
    with pytest.warns(UserWarning, match="not put into the queue again: no such job"):
        assert not requeue(trainer(SLURMEnvironment()), signal.SIGUSR1)


def test_a_stopped_process_ends_with_the_signals_own_code():
    assert Stopped(signal.SIGTERM, "").code == 143
    assert Stopped(signal.SIGINT, "").code == 130
