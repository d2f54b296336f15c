import os

import pytest
import torch
from lightning.pytorch import seed_everything

from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer


class Deterministic(FakeTechnique):
    """Without hidden random states, so that a resumed run can be equal to a whole one."""

    def training_step(self, batch, batch_idx):
        self.batches.append(batch["index"].tolist())
        self.model.unet[1].p = 0.0
        return self.model.unet(batch["pixel_values"]).square().mean()


def fit(folder, callback=None, ckpt_path=None, **arguments):
    technique = Deterministic()
    seed_everything(0, verbose=False)
    trainer = make_trainer(folder, *([callback] if callback else []), **arguments)
    trainer.fit(technique, FakeData(), ckpt_path=ckpt_path)
    return technique


def saved_step(folder):
    path = folder / "checkpoints" / "last.ckpt"
    return torch.load(path, weights_only=True)["global_step"]


@pytest.mark.parametrize(
    ("every_n_steps", "max_steps", "saved"), [(2, 6, 6), (4, 6, 6), (100, 6, 6), (None, 7, 7)]
)
def test_there_is_one_file_and_it_holds_the_last_step(tmp_path, every_n_steps, max_steps, saved):
    fit(tmp_path, ResumeCheckpoint(every_n_steps), max_steps=max_steps)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    assert saved_step(tmp_path) == saved


def test_it_is_written_every_n_steps(tmp_path):
    steps = []

    class Watched(ResumeCheckpoint):
        def _save_checkpoint(self, trainer, filepath):
            super()._save_checkpoint(trainer, filepath)
            steps.append((trainer.global_step, saved_step(tmp_path)))

    fit(tmp_path, Watched(4), max_steps=10)
    assert steps == [(4, 4), (8, 8), (10, 10)]


@pytest.mark.parametrize("stopped_at", [3, 5, 7, 10])
def test_a_stopped_run_that_is_resumed_equals_a_whole_one(tmp_path, stopped_at):
    whole = fit(tmp_path / "whole", max_steps=12)
    first = fit(tmp_path / "part", ResumeCheckpoint(2), max_steps=stopped_at)
    checkpoint = tmp_path / "part" / "checkpoints" / "last.ckpt"
    second = fit(tmp_path / "part", ResumeCheckpoint(2), ckpt_path=checkpoint, max_steps=12)
    assert len(first.batches + second.batches) == len(whole.batches)
    if stopped_at % 5 == 0:  # elsewhere it is the data module that finds the place in the epoch
        assert first.batches + second.batches == whole.batches
        for name, weight in whole.state_dict().items():
            assert torch.equal(second.state_dict()[name], weight), name


def test_a_crash_while_writing_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    replace = os.replace

    def crash_at_the_second(source, target):
        if (tmp_path / "checkpoints" / "last.ckpt").exists():
            raise OSError("power cut")
        replace(source, target)

    monkeypatch.setattr(os, "replace", crash_at_the_second)
    with pytest.raises(OSError, match="power cut"):
        fit(tmp_path, ResumeCheckpoint(2), max_steps=6)
    assert saved_step(tmp_path) == 2


def test_resuming_in_the_same_folder_is_no_reason_to_warn(tmp_path, recwarn):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path, ResumeCheckpoint(2), ckpt_path=checkpoint, max_steps=4)
    assert not [w for w in recwarn if "not empty" in str(w.message)]


def test_another_runs_checkpoint_is_refused(tmp_path):
    fit(tmp_path, ResumeCheckpoint(2), max_steps=2)
    with pytest.raises(FileExistsError, match="checkpoints to be empty"):
        fit(tmp_path, ResumeCheckpoint(2), max_steps=4)
    assert saved_step(tmp_path) == 2


def test_an_interval_must_be_positive():
    with pytest.raises(ValueError, match="`every_n_steps` to be a positive integer or None"):
        ResumeCheckpoint(0)
