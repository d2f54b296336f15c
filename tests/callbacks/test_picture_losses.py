import json
from collections import Counter

import pytest
import torch
from torch.utils.data import DataLoader

from sdtune.callbacks.picture_losses import PictureLosses
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer


class Losing(FakeTechnique):
    """A technique of 20 timesteps whose losses are known: those of sample 3 are doubled."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        timesteps = (batch["index"] * 7 + self.current_epoch * 5) % 20
        losses = (20.0 - timesteps) * torch.where(batch["index"] == 3, 2.0, 1.0)
        self.seen += zip(batch["name"], losses.tolist(), timesteps.tolist(), strict=True)
        if self.global_step == 7 and getattr(self, "fails", False):
            raise RuntimeError
        return {"loss": loss, "sample_losses": losses, "timesteps": timesteps}


class NamedData(FakeData):
    def train_dataloader(self):
        named = [{**sample, "name": f"{sample['index']}.png"} for sample in self.samples]
        return DataLoader(named, batch_size=2)


def fit(folder, *callbacks, max_steps=12, ckpt_path=None, technique=None):
    technique = technique or Losing()
    trainer = make_trainer(folder, PictureLosses(), *callbacks, max_steps=max_steps)
    trainer.fit(technique, NamedData(), ckpt_path=ckpt_path)
    return technique.seen


def read(folder):
    record = json.loads((folder / "picture_losses.json").read_text(encoding="utf-8"))
    assert record["version"] == 1
    return record["pictures"]


def test_what_is_learned_of_the_base_tells_of_no_picture(tmp_path):
    technique = Losing()
    technique.learns_pictures_below = 0.75  # of 20 timesteps
    seen = fit(tmp_path, technique=technique)
    pictures = read(tmp_path)
    told = [sample for sample in seen if sample[2] < 15]
    assert 0 < len(told) < len(seen)
    assert {name: each["count"] for name, each in pictures.items()} == Counter(
        name for name, _, _ in told
    )


def test_losses_are_compared_within_a_tenth_of_the_schedule(tmp_path):
    seen = fit(tmp_path)
    pictures = read(tmp_path)
    for name, picture in pictures.items():
        relative = []
        for _, loss, timestep in [sample for sample in seen if sample[0] == name]:
            tenth = [other for _, other, t in seen if t // 2 == timestep // 2]
            relative.append(loss / (sum(tenth) / len(tenth)))
        losses = [loss for other, loss, _ in seen if other == name]
        assert picture["count"] == len(losses)
        assert picture["loss"] == pytest.approx(sum(losses) / len(losses))
        assert picture["relative_loss"] == pytest.approx(sum(relative) / len(relative))
    assert next(iter(pictures)) == "3.png"  # hardest first, and not the one with the least noise


def test_a_resumed_run_counts_on(tmp_path):
    fit(tmp_path / "whole")
    fit(tmp_path / "parts", ResumeCheckpoint(5), max_steps=5)  # a whole epoch
    fit(tmp_path / "parts", ckpt_path=tmp_path / "parts" / "checkpoints" / "last.ckpt")
    whole, parts = read(tmp_path / "whole"), read(tmp_path / "parts")
    assert parts.keys() == whole.keys()
    for name, picture in whole.items():
        assert parts[name] == pytest.approx(picture)


def test_a_callback_of_another_run_begins_anew(tmp_path):
    """As in a notebook, where one object goes from trainer to trainer."""
    callback = PictureLosses()

    def fit_again(folder, max_steps, ckpt_path=None):
        trainer = make_trainer(folder, callback, ResumeCheckpoint(5), max_steps=max_steps)
        trainer.fit(Losing(), NamedData(), ckpt_path=ckpt_path)

    fit(tmp_path / "whole")
    fit_again(tmp_path / "other", 7)
    fit_again(tmp_path / "parts", 5)
    fit_again(tmp_path / "parts", 12, tmp_path / "parts" / "checkpoints" / "last.ckpt")
    whole, parts = read(tmp_path / "whole"), read(tmp_path / "parts")
    assert parts.keys() == whole.keys()
    for name, picture in whole.items():
        assert parts[name] == pytest.approx(picture)


def test_a_run_that_fails_leaves_what_it_saw(tmp_path):
    technique = Losing()
    technique.fails = True
    with pytest.raises(RuntimeError):
        fit(tmp_path, technique=technique)
    assert sum(picture["count"] for picture in read(tmp_path).values()) == 14


def test_a_module_without_sample_losses_is_refused(tmp_path):
    trainer = make_trainer(tmp_path, PictureLosses())
    technique = FakeTechnique()
    with pytest.raises(TypeError, match="Expected the training step of FakeTechnique to return"):
        trainer.fit(technique, NamedData())
