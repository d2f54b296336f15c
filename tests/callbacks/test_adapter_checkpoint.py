import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, diffusers_format, lora_parameters
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.callbacks.adapter_checkpoint import AdapterCheckpoint
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.files import tensor_file
from sdtune.models import load
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.safetensors"))


def fit(folder, *callbacks, ckpt_path=None, **arguments):
    technique = FakeTechnique()
    trainer = make_trainer(folder, *callbacks, **arguments)
    trainer.fit(technique, FakeData(), ckpt_path=ckpt_path)
    return technique


def test_a_file_per_checkpoint_and_a_final_one(tmp_path):
    technique = fit(tmp_path, AdapterCheckpoint(every_n_steps=4))
    assert files(tmp_path / "adapter") == [
        "adapter.safetensors",
        "step_000004/adapter.safetensors",
        "step_000006/adapter.safetensors",
    ]
    final = tmp_path / "adapter" / "adapter.safetensors"
    assert torch.equal(load_file(final)["weight"], technique.model.unet[0].weight)
    assert tensor_file.read_metadata(final)["sdtune.steps"] == "6"


def test_only_the_latest_are_kept_and_nothing_foreign_is_deleted(tmp_path):
    callback = AdapterCheckpoint(every_n_steps=2, keep=2)
    note = tmp_path / "adapter" / "step_000004" / "note.txt"
    save = FakeTechnique.adapter_metadata

    class Annotated(FakeTechnique):
        def adapter_metadata(self):
            if note.parent.is_dir():
                note.write_text("mine")
            return save(self)

    make_trainer(tmp_path, callback, max_steps=10).fit(Annotated(), FakeData())
    assert files(tmp_path / "adapter") == [
        "adapter.safetensors",
        "step_000008/adapter.safetensors",
        "step_000010/adapter.safetensors",
    ]
    folders = sorted(p.name for p in (tmp_path / "adapter").iterdir() if p.is_dir())
    assert folders == ["step_000004", "step_000008", "step_000010"]
    assert note.read_text() == "mine"


def test_another_runs_folder_is_refused(tmp_path):
    fit(tmp_path, AdapterCheckpoint(every_n_steps=6))
    before = (tmp_path / "adapter" / "adapter.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="adapter to be empty"):
        fit(tmp_path, AdapterCheckpoint(every_n_steps=6))
    assert (tmp_path / "adapter" / "adapter.safetensors").read_bytes() == before


def test_a_resumed_run_writes_its_own_files_anew(tmp_path):
    fit(tmp_path, AdapterCheckpoint(2), ResumeCheckpoint(2), max_steps=4)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    fit(tmp_path, AdapterCheckpoint(2), max_steps=8, ckpt_path=checkpoint)
    assert tensor_file.read_metadata(tmp_path / "adapter" / "adapter.safetensors")[
        "sdtune.steps"
    ] == "8"  # fmt: skip


def test_a_foreign_file_stops_a_resumed_run(tmp_path):
    fit(tmp_path, AdapterCheckpoint(2), ResumeCheckpoint(2), max_steps=4)
    foreign = tmp_path / "adapter" / "step_000006" / "adapter.safetensors"
    foreign.parent.mkdir()
    save_file({"x": torch.zeros(1)}, foreign)
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(FileExistsError, match="sdtune did not write"):
        fit(tmp_path, AdapterCheckpoint(2), max_steps=8, ckpt_path=checkpoint)


def test_a_trial_run_leaves_nothing(tmp_path):
    fit(tmp_path, AdapterCheckpoint(), fast_dev_run=True)
    assert not (tmp_path / "adapter").exists()


def test_a_whole_unet_is_dropped_with_its_configuration(tmp_path, micro_sd):
    model = load(micro_sd)
    callback = AdapterCheckpoint(keep=1)
    callback.folder = tmp_path
    for step in (1, 2):
        AdapterSet(TunedUNet.from_model(model)).save(tmp_path / f"step_{step:06d}")
    callback._prune(2)
    assert [folder.name for folder in tmp_path.iterdir()] == ["step_000002"]


def test_keep_must_be_positive():
    with pytest.raises(ValueError, match="`keep` to be a positive integer or None, but got 0"):
        AdapterCheckpoint(keep=0)


class TinyLoRA(FakeTechnique):
    """A LoRA on a Stable Diffusion, trained on nothing but its own size."""

    def __init__(self, folder):
        super().__init__()
        self.model = load(folder)
        add_lora(self.model, rank=2, alpha=1.0, target_modules=["to_q"])

    def training_step(self, batch, batch_idx):
        return sum((parameter - 0.1).square().sum() for parameter in lora_parameters(self))

    def validation_step(self, batch, batch_idx):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(lora_parameters(self), lr=0.1)

    def adapter(self):
        return AdapterSet(LoRAAdapter.from_model(self.model))


def test_a_lora_is_saved_as_diffusers_reads_it_and_training_is_not_disturbed(tmp_path, micro_sd):
    technique, alone = TinyLoRA(micro_sd), TinyLoRA(micro_sd)
    make_trainer(tmp_path, AdapterCheckpoint(1), max_steps=2).fit(technique, FakeData())
    make_trainer(tmp_path / "alone", max_steps=2).fit(alone, FakeData())
    pairs = zip(lora_parameters(technique), lora_parameters(alone), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    path = tmp_path / "adapter" / "pytorch_lora_weights.safetensors"
    config = json.loads(tensor_file.read_metadata(path)[diffusers_format.CONFIG_KEY])
    assert (config["unet.r"], config["unet.lora_alpha"]) == (2, 2)
    names = {each.name for each in (tmp_path / "adapter" / "step_000001").iterdir()}
    assert names == {path.name, "kohya_lora.safetensors", "peft"}


def test_files_of_the_same_bytes_are_proved_once(tmp_path, micro_sd, monkeypatch):
    proved = []
    verify = AdapterSet.verify

    def verified(adapter, path, model):
        proved.append(path.parent.name)
        return verify(adapter, path, model)

    monkeypatch.setattr(AdapterSet, "verify", verified)
    keeper, technique = AdapterCheckpoint(1), TinyLoRA(micro_sd)
    make_trainer(tmp_path, keeper, max_steps=2).fit(technique, FakeData())
    keeper.keep_best(2, technique)
    assert proved == ["step_000001", "step_000002"]
    folder = tmp_path / "adapter"
    written = files(folder / "step_000002")
    assert len(written) == 3
    for name in written:
        expected = (folder / "step_000002" / name).read_bytes()
        assert (folder / name).read_bytes() == (folder / "best" / name).read_bytes() == expected

    with torch.no_grad():
        lora_parameters(technique)[0].add_(1)
    keeper.keep_best(2, technique)
    assert proved[2:] == ["best"]
    keeper.keep_best(2, technique)
    assert proved[3:] == ["best"]  # in the place of what was proved, and not a copy of it


def test_a_file_that_loses_something_stops_the_run(tmp_path, micro_sd, monkeypatch):
    def forgetful(update):
        return update.tensors

    monkeypatch.setattr(diffusers_format, "_folded", forgetful)
    technique = TinyLoRA(micro_sd)
    with pytest.raises(AdapterVerificationError, match="with alpha / rank in it"):
        make_trainer(tmp_path, AdapterCheckpoint(1), max_steps=4).fit(technique, FakeData())
    assert technique.global_step == 1
