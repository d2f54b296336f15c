import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.distributed.run import parse_args

from sdtune.commands.other_processes import end_others, lost_process

ROOT = Path(__file__).parents[2]
BOTH = ["--trainer.devices=2", "--trainer.strategy=ddp", "--run=both", "--trust=tests"]


def command(recipe: str, *words: str, python: str | Path = sys.executable) -> list[str]:
    return [str(python), "-m", "sdtune", "fit", "--config", recipe, *BOTH, *words]


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def started(recipe: str, python: str | Path) -> subprocess.Popen[str]:
    """Start both processes, in a session of their own; what they print is read from stderr."""
    return subprocess.Popen(
        command(recipe, python=python),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def toy_that(recipe: str, how: str) -> str:
    text = Path(recipe).read_text(encoding="utf-8")
    text = text.replace("toys.Toy\n", "toys.DyingToy\n").replace("rank: 4", f"how: {how}")
    Path(recipe).write_text(text, encoding="utf-8")
    return recipe


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raises", "is killed"])
def test_when_one_process_dies_all_end_with_its_reason(recipe, how, quick_python):
    process = started(toy_that(recipe, how), quick_python)
    # it ends when nobody is left who could write there
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 1, printed
    reason = {
        "raises": "Process 1 of 2 ended with code 1; what it printed says why",
        "is killed": "Process 1 of 2 ended by SIGKILL, as the system does when memory is short",
    }[how]
    assert f"sdtune: {reason}, and so all end." in printed
    assert ("MemoryError: the second GPU is full" in printed) == (how == "raises")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody is left


@pytest.mark.slow
@pytest.mark.parametrize("how", ["first is asked", "second is asked"])
def test_processes_that_are_asked_to_stop_before_they_train_end_with_its_code(
    recipe, how, quick_python
):
    text = Path(toy_that(recipe, how)).read_text(encoding="utf-8")
    Path(recipe).write_text(text.replace("tests.commands.toys.Last", "sdtune.ResumeCheckpoint"))
    process = started(recipe, quick_python)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == 143, printed
    assert "sdtune: Training stopped before its first step." in printed
    assert not Path("runs/toy/both/checkpoints").exists()


@pytest.mark.parametrize(("code", "words"), [("raise SystemExit(3)", "with code 3"), ("", None)])
def test_a_process_that_ended_well_is_not_lost(code, words):
    children = [subprocess.Popen([sys.executable, "-S", "-c", each]) for each in ("", code)]
    for each in children:
        each.wait()
    found = lost_process(trainer_with(children), patience=0)
    assert found is None if words is None else f"Process 2 of 3 ended {words}" in str(found)


def test_a_process_that_waits_for_ever_is_ended():
    sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    end_others(trainer_with([sleeper]), patience=0.1)
    assert sleeper.returncode == -signal.SIGKILL
    end_others(SimpleNamespace(strategy=SimpleNamespace(launcher=None)))


def trainer_with(processes):
    return SimpleNamespace(strategy=SimpleNamespace(launcher=SimpleNamespace(procs=processes)))


def test_torchrun_leaves_the_name_of_the_run_to_sdtune():
    """As README says it: without `--` torchrun would take `--run` for an option of its own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = re.search(r"`torchrun ([^`]+)`", readme)
    assert said is not None
    words = [*shlex.split(said[1]), "--run", "both"]
    parsed = parse_args(words)
    assert (parsed.module, parsed.training_script) == (True, "sdtune")
    assert parsed.training_script_args == ["fit", "--config", "RECIPE.yaml", "--run", "both"]
    with pytest.raises(SystemExit):
        parse_args([each for each in words if each != "--"])


@pytest.mark.slow
def test_torchrun_starts_two_processes_of_one_run(recipe, quick_python):
    words = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "--", "sdtune"]
    call = [quick_python, "-m", *words, *command(recipe)[3:]]
    subprocess.run(call, env=environment(), check=True, capture_output=True, timeout=120)
    assert [path.name for path in Path("runs/toy").iterdir()] == ["both"]


@pytest.mark.slow
def test_a_job_of_slurm_is_kept_and_queued_again(recipe, tmp_path, quick_python):
    """As SLURM does it: it starts the processes, tells them their places, and signals all."""
    queue = tmp_path / "queue"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {queue}\n')
    scontrol.chmod(0o755)
    text = Path(recipe).read_text(encoding="utf-8")
    own = "sdtune.ResumeCheckpoint\n      init_args: {every_n_steps: 50}"
    Path(recipe).write_text(text.replace("tests.commands.toys.Last", own), encoding="utf-8")
    endless = ["--trainer.max_steps=-1", "--trainer.max_epochs=-1"]
    first, second = slurm_tasks(recipe, quick_python, scontrol.parent, *endless)
    run = Path("runs/toy/both")
    while not (run / "checkpoints/last.ckpt").exists():  # before it trains, Lightning is listening
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.1)
    for each in (first, second):
        each.send_signal(signal.SIGUSR1)
    ends = [each.communicate(timeout=120)[1] for each in (first, second)]
    assert [first.returncode, second.returncode] == [128 + signal.SIGUSR1] * 2, ends
    assert queue.read_text() == "requeue 4242\n"
    assert "The job is in the queue again." in ends[0]
    kept = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert f"Training stopped after step {kept}, kept in" in ends[0]
    rest = [f"--trainer.max_steps={kept + 2}", "--trainer.max_epochs=-1", f"--resume={run}"]
    for each in slurm_tasks(recipe, quick_python, scontrol.parent, *rest):
        printed = each.communicate(timeout=120)[1]
        assert each.returncode == 0, printed
    again = torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert again == kept + 2


def slurm_tasks(
    recipe: str, python: Path, programs: Path, *words: str
) -> list[subprocess.Popen[str]]:
    """Start the tasks of a job on one node."""
    job: Mapping[str, str] = {
        "SLURM_JOB_ID": "4242",
        "SLURM_JOB_NAME": "turtles",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_NNODES": "1",
        "SLURM_NODEID": "0",
        "SLURM_NODELIST": "localhost",
        "SLURM_JOB_NODELIST": "localhost",
        "PATH": f"{programs}:{os.environ['PATH']}",
    }
    resumes = any(word.startswith("--resume") for word in words)
    whole = command(recipe, *words, python=python)
    call = [each for each in whole if not (resumes and each == "--run=both")]
    return [
        subprocess.Popen(
            call,
            env=environment(**job, SLURM_PROCID=str(rank), SLURM_LOCALID=str(rank)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
