"""The frozen base around which a technique learns: precision, checkpoints."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import (
    Callback,
    GradientAccumulationScheduler,
    ModelCheckpoint,
)

from sdtune.data.style import StyleDataModule
from sdtune.models import Part
from sdtune.models.fingerprint import fingerprint
from sdtune.techniques.local_checkpoints import keep_to_this_machine
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.equal_states import assert_equal_states
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.small_lora import small_batch, small_module


@pytest.fixture
def data(tmp_path: Path) -> StyleDataModule:
    folder = make_picture_folder(tmp_path / "discs")
    return StyleDataModule(str(folder), resolution=64, batch_size=2, cache_dir=str(tmp_path))


def test_mixed_precision_keeps_the_adapter_in_float32(
    micro_sd: Path, data: StyleDataModule
) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2, text_encoder_learning_rate=1e-4)
    quiet_trainer(precision="bf16-mixed", gradient_clip_val=1.0).fit(module, data)
    assert module.model.dtype == torch.bfloat16
    assert module.model.vae.dtype == torch.float32
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32}


def test_pictures_before_training_change_neither_its_precision_nor_what_it_learns(
    micro_sd: Path, data: StyleDataModule
) -> None:
    plain, drawn = (LoRAStyleModule(str(micro_sd), rank=2, learning_rate=1e-2) for _ in range(2))
    drawn.generate(["a disc"], [0], num_inference_steps=1)
    assert drawn.model.dtype == torch.float32
    for module in (plain, drawn):
        quiet_trainer(precision="bf16-mixed").fit(module, data)
        assert module.model.dtype == torch.bfloat16
    assert_equal_states(plain, drawn)


def test_what_was_trained_in_half_precision_is_validated_in_float32(
    micro_sd: Path, data: StyleDataModule
) -> None:
    """Prompts too: those that were encoded for training are not looked up."""
    module, fresh = (LoRAStyleModule(str(micro_sd), rank=2, learning_rate=1e-2) for _ in range(2))
    quiet_trainer(precision="bf16-mixed").fit(module, data)
    fresh.load_state_dict(module.state_dict())
    held_out = StyleDataModule(data.folder, resolution=64, validation_count=2)
    found, expected = (
        quiet_trainer().validate(each, held_out, verbose=False) for each in (module, fresh)
    )
    assert found == expected
    assert module.model.dtype == torch.float32


def test_a_module_keeps_the_base_that_has_the_precision_already(
    micro_sd: Path, data: StyleDataModule
) -> None:
    module = small_module(micro_sd)
    unet = module.model.unet
    quiet_trainer().fit(module, data)
    module.generate(["a disc"], [0], num_inference_steps=1)
    assert module.model.unet is unet


def test_half_precision_adapters_are_refused(micro_sd: Path, data: StyleDataModule) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2)
    with pytest.raises(ValueError, match=r"`trainer.precision` to be one of .*`bf16-mixed`"):
        quiet_trainer(precision="bf16-true").fit(module, data)


@pytest.mark.slow
def test_gradient_checkpointing_changes_no_gradient(micro_sd: Path) -> None:
    gradients = []
    for gradient_checkpointing in (False, True):
        module = small_module(
            micro_sd,
            gradient_checkpointing=gradient_checkpointing,
            text_encoder_learning_rate=1e-4,
        )
        assert module.model.unet.training
        module.training_step(small_batch(), 0)["loss"].backward()
        gradients.append({n: p.grad for n, p in module.named_parameters() if p.requires_grad})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])


def test_a_checkpoint_of_another_adapter_is_refused(micro_sd: Path, data: StyleDataModule) -> None:
    attention = small_module(micro_sd)
    everything = small_module(micro_sd, target_modules="all")
    with pytest.raises(RuntimeError, match="do not train the same weights"):
        everything.load_state_dict(attention.state_dict())
    other = LoRAStyleModule(str(micro_sd), rank=attention.hparams.rank + 1)
    with pytest.raises(RuntimeError, match=r"same weights: \d+ differ, such as .*lora_A.*recipe"):
        other.load_state_dict(attention.state_dict())


@pytest.mark.slow
def test_a_checkpoint_alone_makes_the_module_again(
    micro_sd: Path, data: StyleDataModule, tmp_path: Path
) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2, learning_rate=1e-2, noise_offset=0.1)
    trainer = quiet_trainer()
    trainer.fit(module, data)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = LoRAStyleModule.load_from_checkpoint(tmp_path / "last.ckpt")
    assert loaded.hparams == module.hparams
    assert_equal_states(module, loaded)


def test_accumulation_goes_on_inside_an_epoch_whoever_wrote_the_checkpoint(
    micro_sd: Path, tmp_path: Path
) -> None:
    """Epochs of three batches: 3 steps, then 2, of which the second is of one batch alone."""
    folder = make_picture_folder(tmp_path / "six", 6)

    def trained(*others: Callback, resumed: Path | None = None) -> LoRAStyleModule:
        data = StyleDataModule(str(folder), resolution=64, batch_size=2, cache_dir=str(tmp_path))
        module = LoRAStyleModule(str(micro_sd), rank=2, learning_rate=1e-2)
        schedule = GradientAccumulationScheduler({0: 1, 1: 2})
        trainer = quiet_trainer(
            callbacks=[schedule, *others],
            max_epochs=3,
            max_steps=-1,
            enable_checkpointing=resumed is None,
        )
        trainer.fit(module, data, ckpt_path=resumed)
        assert trainer.global_step == 7
        return module

    stock = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = trained(stock)
    assert_equal_states(whole, trained(resumed=tmp_path / "step=4.ckpt"))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_checkpoint_that_is_cut_off_is_told_in_a_sentence(tmp_path: Path, share: float) -> None:
    trainer = quiet_trainer()
    keep_to_this_machine(trainer)
    path = tmp_path / "last.ckpt"
    torch.save({"state_dict": {"weight": torch.zeros(1000)}}, path)
    assert trainer.strategy.load_checkpoint(path)["state_dict"]["weight"].shape == (1000,)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ValueError, match=r"last.ckpt to be a checkpoint, but it is cut off. Take"):
        trainer.strategy.load_checkpoint(path)


@pytest.mark.parametrize("address", ["https://example.org/last.ckpt", "s3://bucket/last.ckpt"])
def test_a_checkpoint_from_the_web_is_not_even_fetched(
    micro_sd: Path, data: StyleDataModule, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def fetch(*_: object, **__: object) -> None:
        pytest.fail("it was asked for")

    monkeypatch.setattr("lightning.fabric.plugins.io.torch_io.get_filesystem", fetch)
    monkeypatch.setattr("lightning.fabric.utilities.cloud_io.get_filesystem", fetch)
    with pytest.raises(ValueError, match=f"on this machine, but got `{address}`"):
        quiet_trainer().fit(LoRAStyleModule(str(micro_sd), rank=2), data, ckpt_path=address)
    with pytest.raises(ValueError, match=f"on this machine, but got `{address}`"):
        LoRAStyleModule.load_from_checkpoint(address)


def test_a_run_goes_on_in_another_precision_and_from_older_checkpoints(micro_sd: Path) -> None:
    half, full = (LoRAStyleModule(str(micro_sd), rank=2) for _ in range(2))
    half.load_base(torch.bfloat16)
    full.load_base()
    checkpoint: dict[str, Any] = {}
    half.on_save_checkpoint(checkpoint)
    assert checkpoint["base_sha256"].keys() == {"unet", "vae", "text_encoders"}
    full.on_load_checkpoint(checkpoint)
    older = {"unet": half.model.unet, "text_encoders": half.model.text_encoders}
    checkpoint["base_sha256"] = {name: fingerprint(part) for name, part in older.items()}
    for module in (half, full):
        assert checkpoint["base_sha256"]["unet"] != module.model.fingerprint("unet")
        module.on_load_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("file", "name", "before", "now"),
    [
        ("scheduler/scheduler_config.json", "prediction_type", "epsilon", "v_prediction"),
        ("scheduler/scheduler_config.json", "timestep_spacing", "leading", "trailing"),
        ("vae/config.json", "scaling_factor", 0.18215, 0.13),
        ("vae/config.json", "_name_or_path", "here", "there"),
        ("text_encoder/config.json", "hidden_act", "quick_gelu", "gelu"),
    ],
)
def test_a_base_that_is_configured_otherwise_is_another(
    micro_sd: Path, tmp_path: Path, file: str, name: str, before: object, now: object
) -> None:
    base = Path(shutil.copytree(micro_sd, tmp_path / "base"))
    config = json.loads((base / file).read_text())

    def module_with(value: object) -> LoRAStyleModule:
        (base / file).write_text(json.dumps(config | {name: value}))
        module = LoRAStyleModule(str(base), rank=2)
        module.load_base()
        return module

    checkpoint: dict[str, Any] = {}
    module_with(before).on_save_checkpoint(checkpoint)
    checkpoint["base_configurations"]["unet"]["of_an_older_release"] = 1
    other = module_with(now)
    if name in ("timestep_spacing", "_name_or_path"):  # samplers' own, and a name
        other.on_load_checkpoint(checkpoint)
        return
    part = file.partition("/")[0]
    told = re.escape(f"its {part}'s `{name}` was {before!r}, but it is {now!r} now")
    with pytest.raises(ValueError, match=told):
        other.on_load_checkpoint(checkpoint)
    module_with(before).on_load_checkpoint(checkpoint)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoders"])
def test_a_base_of_which_any_part_differs_is_another(micro_sd: Path, part: Part) -> None:
    module = LoRAStyleModule(str(micro_sd), rank=2)
    module.load_base()
    checkpoint: dict[str, Any] = {}
    module.on_save_checkpoint(checkpoint)
    checkpoint["base_sha256"][part] = "0" * 64
    with pytest.raises(ValueError, match="trained on another base"):
        module.on_load_checkpoint(checkpoint)
