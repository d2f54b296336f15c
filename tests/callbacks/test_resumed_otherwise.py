"""Runs that go on from another place than the last checkpoint, or with another Trainer's work."""

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.run_folder.checkpoints import damage_of, find_checkpoint
from tests.callbacks.test_resume_checkpoint import (
    At,
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


@pytest.mark.parametrize(("step", "monitor"), [(3, None), (4, None), (5, None), (5, "val/loss")])
def test_a_file_of_another_callback_cuts_the_curves_too(tmp_path, step, monitor):
    kept, whole, part = {"filename": "m{step}"}, tmp_path / "whole", tmp_path / "part"
    kept |= {"monitor": monitor} if monitor else {"every_n_train_steps": 1}

    def callbacks():
        files = ModelCheckpoint(save_top_k=-1, auto_insert_metric_name=False, **kept)
        return files, ResumeCheckpoint(2)

    for folder in (whole, part):
        fit(tmp_path, *callbacks(), data=ResumableData(), max_steps=8, **logged(folder))
    other = part / "checkpoints" / f"m{step}.ckpt"
    fit(
        tmp_path,
        *callbacks(),
        ckpt_path=other,
        data=ResumableData(),
        max_steps=8,
        **logged(part),
    )
    assert points(part) == points(whole)
    assert other.is_file()
    assert {"last.ckpt", "step_000006.ckpt"} <= {*names(part)}
    assert find_checkpoint(part / "checkpoints")[1] == []
