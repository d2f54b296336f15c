import logging

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.step_end import STEP_END, step_end
from sdtune.callbacks.stop_after import StopAfter
from tests.callbacks.fake_technique import make_trainer
from tests.callbacks.test_late_states import stopped_and_resumed
from tests.callbacks.test_resume_checkpoint import At, Deterministic, ResumableData, saved_step
from tests.equal_states import assert_equal_states


def run(folder, *callbacks, **arguments):
    path = folder / "checkpoints" / "last.ckpt"
    trainer = make_trainer(folder, *callbacks, ResumeCheckpoint(2), **arguments)
    module = Deterministic()
    trainer.fit(module, ResumableData(), ckpt_path=path if path.exists() else None)
    return module, trainer


def early(patience=1, **arguments):
    return EarlyStopping("val/loss", min_delta=9.0, patience=patience, **arguments)


OPTIONS = {"max_steps": 30, "max_epochs": 6}


@pytest.mark.parametrize(
    ("make", "by"),
    [(early, "EarlyStopping on val/loss"), (lambda: StopAfter(10), "`trainer.should_stop`, which")],
)
def test_a_run_that_a_callback_has_ended_says_so_and_stays_ended(tmp_path, caplog, make, by):
    run(tmp_path, make(), **OPTIONS)
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    assert saved_step(tmp_path) == 10
    with caplog.at_level(logging.INFO):
        module, trainer = run(tmp_path, make(), **OPTIONS)
    assert f"The run had ended at step 10 by {by}" in caplog.text
    assert module.batches == []
    assert trainer.global_step == 10
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before


@pytest.mark.parametrize(
    ("make", "options", "steps"),
    [
        (lambda: early(patience=3), OPTIONS, 20),
        (lambda: EarlyStopping("train/loss", patience=99), OPTIONS, 30),
        (early, OPTIONS | {"max_epochs": 7}, 15),
        (early, OPTIONS | {"max_steps": 12}, 12),
    ],
)
def test_it_trains_on_if_its_end_has_changed(tmp_path, make, options, steps):
    run(tmp_path, early(), **OPTIONS)
    _, trainer = run(tmp_path, make(), **options)
    assert trainer.global_step == saved_step(tmp_path) == steps


def test_an_end_that_did_not_come_and_one_by_the_clock_are_none(tmp_path):
    _, trainer = run(tmp_path / "longer", early(), min_steps=20, **OPTIONS)
    ends = step_end(trainer)
    assert trainer.global_step == 20
    timer = Timer("00:00:00:10")
    late = At(3, lambda: setattr(timer, "_duration", 0.0))
    _, trainer = run(tmp_path / "timed", late, timer, **OPTIONS)
    assert trainer.should_stop
    assert step_end(trainer)["ended"] == {}
    assert ends["ended"]["callbacks"].keys() == {early().state_key}


def test_an_older_checkpoint_tells_nothing(tmp_path):
    run(tmp_path, early(), **OPTIONS)
    path = tmp_path / "checkpoints" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    assert content.pop(STEP_END)["metrics"].keys() == {"train/loss", "val/loss"}
    (tmp_path / "checkpoints" / "manifest.json").unlink()
    torch.save(content, path)
    assert run(tmp_path, early(), **OPTIONS)[1].global_step == 15


def looks_at_epochs_end(folder):
    return [early(patience=3, check_on_train_epoch_end=True)]


def keeps_at_epochs_end(folder):
    arguments = {"filename": "{step}", "monitor": "val/loss", "save_on_train_epoch_end": True}
    return [ModelCheckpoint(folder / "best", save_top_k=-1, **arguments)]


@pytest.mark.parametrize("make", [looks_at_epochs_end, keeps_at_epochs_end])
@pytest.mark.parametrize("step", [2, 4, 8])
def test_what_was_validated_before_a_stop_can_still_be_monitored(tmp_path, make, step):
    options = {"max_steps": 18, "val_check_interval": 2}
    whole, folder = tmp_path / "whole", tmp_path / "parts"
    trainer = make_trainer(whole, *make(whole), ResumeCheckpoint(100), **options)
    module = Deterministic()
    trainer.fit(module, ResumableData())
    resumed, second = stopped_and_resumed(folder, step, make, **options)
    assert second.global_step == trainer.global_step
    assert_equal_states(resumed, module)
    files = [sorted(each.name for each in run.glob("best/*")) for run in (whole, folder)]
    assert files[0] == files[1]
    assert bool(files[0]) == (make is keeps_at_epochs_end)
