import os
import re
import sys
import zipfile
from pathlib import Path

import pytest

from sdtune.commands.errors import CallError
from sdtune.commands.run_folder import Destination, choose_run_folder
from sdtune.run_folder.checkpoints import publish
from sdtune.run_folder.layout import CHECKPOINT
from sdtune.run_folder.slurm_job import job_of_call

RECIPES = [Path("recipes/toy.yaml")]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_zip(path: Path) -> None:
    """What torch writes is a zip file; no manifest is beside it, as of earlier versions."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.pkl", b"numbers" * 100)


def make_run(name: str, age: int = 0) -> Path:
    checkpoint = Path("runs/toy", name, CHECKPOINT)
    checkpoint.parent.mkdir(parents=True)
    write_zip(checkpoint)
    os.utime(checkpoint, (1000 - age, 1000 - age))
    Path("runs/toy", name, "config.yaml").touch()
    return checkpoint


def test_a_run_is_named_by_its_recipe():
    assert choose_run_folder({}, RECIPES) == Destination(Path("runs"), "toy")


def test_runs_go_below_the_root_of_the_trainer():
    recipe = {"trainer": {"default_root_dir": "elsewhere"}, "run": "first"}
    folder = choose_run_folder(recipe, RECIPES)
    assert folder.path == Path("elsewhere/toy/first")


def test_the_recipe_of_a_run_keeps_the_run_name():
    make_run("version_0")
    Path("runs/toy/version_0/events.out.tfevents.1").touch()
    assert choose_run_folder({}, [Path("runs/toy/version_0/config.yaml")]).name == "toy"


def test_an_existing_folder_is_refused_by_the_first_process_alone():
    make_run("mine")
    with pytest.raises(CallError, match=r"`runs/toy/mine` exists"):
        choose_run_folder({"run": "mine"}, RECIPES)
    assert choose_run_folder({"run": "mine"}, RECIPES, first_process=False).version == "mine"


@pytest.mark.parametrize("name", ["a/b", "../a", "..", ""])
def test_a_run_is_one_folder(name):
    with pytest.raises(CallError, match="one folder's name"):
        choose_run_folder({"run": name}, RECIPES)


def test_last_is_the_run_with_the_newest_checkpoint():
    make_run("version_0", age=5)
    newest = make_run("version_1")
    make_run("version_2", age=9)
    folder = choose_run_folder({"resume": "last"}, RECIPES)
    assert folder.version == "version_1"
    assert folder.checkpoint == newest


@pytest.mark.parametrize("resume", ["runs/toy/version_0", f"runs/toy/version_0/{CHECKPOINT}"])
def test_a_resumed_run_goes_on_in_its_folder(resume):
    make_run("version_0")
    folder = choose_run_folder({"resume": resume}, [Path("another.yaml")])
    assert folder.path.resolve() == Path("runs/toy/version_0").resolve()
    assert folder.config_filename() == "config_2.yaml"


def test_a_checkpoint_from_elsewhere_starts_its_own_run():
    write_zip(Path("downloaded.ckpt"))
    folder = choose_run_folder({"resume": "downloaded.ckpt"}, RECIPES)
    assert folder == Destination(Path("runs"), "toy", checkpoint=Path("downloaded.ckpt"))


@pytest.mark.parametrize("resume", ["last", "runs/toy/version_0"])
def test_a_damaged_checkpoint_is_said_and_the_one_before_taken(resume):
    checkpoint = make_run("version_0")
    older = checkpoint.with_name("step_000100.ckpt")
    write_zip(older)
    content = bytearray(checkpoint.read_bytes())
    content[60] ^= 1
    checkpoint.write_bytes(content)
    folder = choose_run_folder({"resume": resume}, RECIPES)
    assert folder.checkpoint == older
    assert folder.notes == (
        f"Expected {checkpoint} to be as it was written, but its bytes have changed: it is cut "
        "off, or a checksum in it is wrong.",
        f"Training goes on from the one before, {older}.",
    )
    with pytest.raises(CallError, match=r"have changed: .*step_000100.ckpt is good"):
        choose_run_folder({"resume": str(checkpoint)}, RECIPES)
    older.unlink()
    with pytest.raises(CallError, match=r"last.ckpt to be as it was written"):
        choose_run_folder({"resume": resume}, RECIPES)


def test_a_run_with_a_link_out_of_it_is_not_resumed(tmp_path):
    make_run("first")
    Path("runs/toy/first/samples").symlink_to(tmp_path)
    with pytest.raises(CallError, match="samples is a link that leads out of it"):
        choose_run_folder({"resume": "runs/toy/first"}, RECIPES)


@pytest.mark.parametrize("resume", ["last", "runs/toy/version_0"])
@pytest.mark.parametrize("callbacks", ["null", "[{class_path: sdtune.Progress}]"])
def test_a_run_that_kept_nothing_is_told_with_what_its_recipe_lacked(resume, callbacks):
    make_run("version_0").unlink()
    Path("runs/toy/version_0/checkpoints").rmdir()
    config = Path("runs/toy/version_0/config.yaml")
    config.write_text(f"trainer:\n  callbacks: {callbacks}\n")
    lacks = "`trainer.callbacks` of runs/toy/version_0 named no sdtune.ResumeCheckpoint."
    with pytest.raises(CallError, match=re.escape(lacks)):
        choose_run_folder({"resume": resume}, RECIPES)
    config.write_text("trainer:\n  callbacks: [{class_path: sdtune.ResumeCheckpoint}]\n")
    with pytest.raises(CallError) as caught:
        choose_run_folder({"resume": resume}, RECIPES)
    assert "named no" not in str(caught.value)


@pytest.mark.parametrize("resume", ["last", "runs/toy/version_0"])
def test_a_checkpoint_of_lightning_s_is_named(resume):
    checkpoint = make_run("version_0")
    other = checkpoint.rename(checkpoint.with_name("epoch=0-step=3.ckpt"))
    with pytest.raises(CallError, match=re.escape(f"give Lightning's by name, {other}.")):
        choose_run_folder({"resume": resume}, RECIPES)
    assert choose_run_folder({"resume": str(other)}, RECIPES).checkpoint == other


@pytest.mark.parametrize("resume", ["last", "missing.ckpt"])
def test_nothing_to_resume_is_refused(resume):
    with pytest.raises(CallError, match=r"Expected (a run with|`--resume` to name)"):
        choose_run_folder({"resume": resume}, RECIPES)


def test_run_and_resume_exclude_each_other():
    with pytest.raises(CallError, match="got both"):
        choose_run_folder({"run": "a", "resume": "last"}, RECIPES)


@pytest.mark.parametrize("died", ["after", "before"])
def test_a_newest_run_without_a_checkpoint_is_not_passed_over(died):
    """One that kept nothing and began before the last checkpoint was written is not the newest."""
    make_run("version_0")
    make_run("version_1").unlink()
    times = {"version_0": 0, "version_1": 500 if died == "before" else 2000}
    for run, time in times.items():
        os.utime(Path("runs/toy", run, "config.yaml"), (time, time))
    if died == "before":
        assert choose_run_folder({"resume": "last"}, RECIPES).version == "version_0"
        return
    with pytest.raises(
        CallError, match=r"runs/toy/version_1 has no.*`--resume runs/toy/version_0`"
    ):
        choose_run_folder({"resume": "last"}, RECIPES)
    assert choose_run_folder({"resume": "runs/toy/version_0"}, RECIPES).version == "version_0"


def keep_of_job(checkpoint):
    temporary = checkpoint.with_name("new")
    write_zip(temporary)
    publish(temporary, checkpoint, [], step=3, events={}, keep_last=2, job=job_of_call())


@pytest.mark.parametrize("run", [None, "version_1"])
def test_a_job_that_slurm_starts_again_goes_on_with_its_own_run(monkeypatch, run):
    for number, job in enumerate(("7", "8", "9")):
        monkeypatch.setenv("SLURM_JOB_ID", job)
        keep_of_job(make_run(f"version_{number}"))
    recipe = {} if run is None else {"run": run}
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    if run is None:
        assert choose_run_folder(recipe, RECIPES).checkpoint is None  # its first start
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    folder = choose_run_folder(recipe, RECIPES)
    assert folder.version == "version_1"
    assert folder.checkpoint == Path("runs/toy/version_1") / CHECKPOINT


def test_each_call_of_a_job_goes_on_with_its_own_run_or_begins_it(monkeypatch):
    calls = [["sdtune", "fit", "--config=toy.yaml", f"--model.rank={rank}"] for rank in (1, 2, 3)]
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    for number, call in enumerate(calls[:2]):
        monkeypatch.setattr(sys, "argv", call)
        keep_of_job(make_run(f"version_{number}"))
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    found = []
    for call in calls:
        monkeypatch.setattr(sys, "argv", call)
        found.append(choose_run_folder({}, RECIPES).version)
    assert found == ["version_0", "version_1", None]
