"""Runs that go on from another place than the last checkpoint, or with another Trainer's work."""

import shutil

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.run_folder.checkpoints import damage_of, find_checkpoint
from tests.callbacks.fake_technique import FakeData, make_trainer
from tests.callbacks.test_resume_checkpoint import (
    At,
    Deterministic,
    ResumableData,
    _event_files_are_read_in_their_order,  # noqa: F401
    fit,
    logged,
    names,
    points,
    saved_step,
)


def crash():
    raise RuntimeError("power cut")


@pytest.mark.parametrize("killed_at", [7, 9])
def test_a_future_that_is_given_up_is_gone_also_if_the_next_start_ends_at_once(tmp_path, killed_at):
    whole, part = tmp_path / "whole", tmp_path / "part"
    fit(tmp_path, ResumeCheckpoint(2), data=ResumableData(), max_steps=12, **logged(whole))
    fit(tmp_path, ResumeCheckpoint(2), data=ResumableData(), max_steps=8, **logged(part))
    older = part / "checkpoints" / "step_000006.ckpt"
    crashing = At(killed_at, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        fit(
            tmp_path,
            *(crashing, ResumeCheckpoint(2)),
            ckpt_path=older,
            data=ResumableData(),
            max_steps=12,
            **logged(part),
        )
    checkpoint, problems = find_checkpoint(part / "checkpoints")
    assert (checkpoint.name, problems) == ("last.ckpt", [])
    assert saved_step(part) == (6 if killed_at == 7 else 8)
    assert damage_of(older) is None
    assert torch.load(older)["global_step"] == 6
    fit(
        tmp_path,
        ResumeCheckpoint(2),
        ckpt_path=checkpoint,
        data=ResumableData(),
        max_steps=12,
        **logged(part),
    )
    assert points(part) == points(whole)


@pytest.mark.parametrize("place", ["checkpoints", "elsewhere"])
@pytest.mark.parametrize(("step", "monitor"), [(3, None), (4, None), (5, None), (5, "val/loss")])
def test_a_file_of_another_callback_cuts_the_curves_too(tmp_path, step, monitor, place):
    kept, whole, part = {"filename": "m{step}"}, tmp_path / "whole", tmp_path / "part"
    kept |= {"monitor": monitor} if monitor else {"every_n_train_steps": 1}

    def callbacks(folder):
        kept["dirpath"] = folder / place
        files = ModelCheckpoint(save_top_k=-1, auto_insert_metric_name=False, **kept)
        return files, ResumeCheckpoint(2)

    for folder in (whole, part):
        fit(tmp_path, *callbacks(folder), data=ResumableData(), max_steps=8, **logged(folder))
    other = part / place / f"m{step}.ckpt"
    fit(
        tmp_path,
        *callbacks(part),
        ckpt_path=other,
        data=ResumableData(),
        max_steps=8,
        **logged(part),
    )
    assert points(part) == points(whole)
    assert other.is_file()
    assert {"last.ckpt", "step_000006.ckpt"} <= {*names(part)}
    assert find_checkpoint(part / "checkpoints")[1] == []


@pytest.mark.parametrize("writer", [ResumeCheckpoint, AdapterCheckpoint])
def test_no_run_is_resumed_in_a_folder_of_another(tmp_path, writer):
    mine, other, copied = (tmp_path / name for name in ("mine", "other", "copied"))
    for folder in (mine, other):
        fit(folder, ResumeCheckpoint(2), AdapterCheckpoint(2), max_steps=2)
    shutil.copytree(mine, copied)
    contents = {path: path.read_bytes() for path in other.rglob("*.*") if path.is_file()}
    last = mine / "checkpoints" / "last.ckpt"
    with pytest.raises(FileExistsError, match="to be empty, but another run"):
        fit(other, writer(2), max_steps=4, ckpt_path=last)
    assert {path: path.read_bytes() for path in other.rglob("*.*") if path.is_file()} == contents
    fit(tmp_path / "new", writer(2), ckpt_path=last, max_steps=4)
    kept = shutil.move(mine, tmp_path / "moved") / "checkpoints" / "last.ckpt"
    fit(tmp_path / "moved", writer(2), ckpt_path=kept, max_steps=4)
    fit(copied, writer(2), ckpt_path=copied / "checkpoints" / "last.ckpt", max_steps=4)


def test_a_callback_that_writes_elsewhere_is_of_the_run(tmp_path):
    run, files = tmp_path / "run", ModelCheckpoint(tmp_path / "files", "m", every_n_train_steps=2)
    fit(run, ResumeCheckpoint(2), files, max_steps=4)
    fit(run, ResumeCheckpoint(2), ckpt_path=tmp_path / "files" / "m.ckpt", max_steps=6)
    assert saved_step(run) == 6
    assert names(run) == ["last.ckpt", "manifest.json", "step_000004.ckpt"]


@pytest.mark.parametrize("between", [None, "validate", "validate a checkpoint"])
@pytest.mark.parametrize("is_resumed", [False, True])
def test_a_trainer_that_fits_again_goes_on_with_its_run(tmp_path, between, is_resumed):
    last, technique, data = tmp_path / "checkpoints" / "last.ckpt", Deterministic(), FakeData()
    if is_resumed:
        fit(tmp_path, ResumeCheckpoint(2), AdapterCheckpoint(2), max_steps=2)
    trainer = make_trainer(tmp_path, ResumeCheckpoint(2), AdapterCheckpoint(2), max_steps=4)
    trainer.fit(technique, data, ckpt_path=last if is_resumed else None)
    if between is not None:
        trainer.validate(technique, data, ckpt_path=last if "a" in between.split() else None)
    trainer.fit_loop.epoch_loop.max_steps = 6
    trainer.fit(technique, data)
    assert names(tmp_path) == ["last.ckpt", "manifest.json", "step_000004.ckpt"]
    assert saved_step(tmp_path) == 6
    older = last.with_name("step_000004.ckpt")
    assert [damage_of(path) for path in (last, older)] == [None, None]


def test_a_trainer_that_fits_on_keeps_as_many_as_are_asked_for(tmp_path):
    trainer = make_trainer(tmp_path, ResumeCheckpoint(2, keep_last=3), max_steps=4)
    trainer.fit(Deterministic(), FakeData())
    trainer.fit_loop.epoch_loop.max_steps = 6
    trainer.fit(Deterministic(), FakeData())
    older = ["step_000002.ckpt", "step_000004.ckpt"]
    assert names(tmp_path) == ["last.ckpt", "manifest.json", *older]
