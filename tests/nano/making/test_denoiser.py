"""nano's UNet is trained on a packed base, and the packed whole is a Stable Diffusion."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPModel

from sdtune.functional import add_noise
from sdtune.models import load
from sdtune.nano.making.autoencoder import NanoAutoencoderModule
from sdtune.nano.making.clip import NanoCLIPModule
from sdtune.nano.making.denoiser import NanoDenoiserModule
from sdtune.nano.making.packing import pack_base, pack_clip, pack_unet
from sdtune.nano.making.scene_data import SceneDataModule
from tests.quiet_trainer import quiet_trainer


@pytest.fixture(scope="module")
def folder(
    sprites: Path,
    tokenizer: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A packed base of tiny networks, a step each from random weights."""
    run = tmp_path_factory.mktemp("nano")
    modules = {
        "vae": NanoAutoencoderModule(block_out_channels=(8, 8, 16)),
        "clip": NanoCLIPModule(
            str(tokenizer), text_width=32, vision_width=32, layers=1, patch_size=16
        ),
    }
    for name, module in modules.items():
        trainer = quiet_trainer(max_steps=1, limit_val_batches=0)
        trainer.fit(module, SceneDataModule(str(sprites), batch_size=4))
        trainer.save_checkpoint(run / f"{name}.ckpt")
    pack_base(run / "vae.ckpt", run / "clip.ckpt", tokenizer, sprites, run / "base")
    pack_clip(run / "clip.ckpt", tokenizer, run / "evaluation_clip")
    return run


def _text_weights(base: Path) -> Path:
    return base / "text_encoder" / "model.safetensors"


@pytest.mark.slow
def test_training_lowers_the_loss_and_the_whole_loads_in_diffusers(
    folder: Path, sprites: Path
) -> None:
    module = NanoDenoiserModule(
        str(folder / "base"), block_out_channels=(32, 32, 32), learning_rate=5e-3
    )
    frozen = {name: value.clone() for name, value in module.model.vae.state_dict().items()}
    data = SceneDataModule(str(sprites), batch_size=4, validation_scenes=16)
    (before,) = quiet_trainer().validate(module, data, verbose=False)
    trainer = quiet_trainer(max_steps=40)
    trainer.fit(module, data)
    (after,) = quiet_trainer().validate(module, data, verbose=False)
    assert after["val/loss"] < 0.9 * before["val/loss"]
    for name, value in module.model.vae.state_dict().items():
        assert torch.equal(value, frozen[name]), name

    trainer.save_checkpoint(folder / "unet.ckpt")
    pack_unet(folder / "unet.ckpt", folder / "base")
    pipeline = StableDiffusionPipeline.from_pretrained(folder / "base")
    assert pipeline.unet.dtype == pipeline.text_encoder.dtype == torch.float32
    model = load(folder / "base")
    assert model.resolution == 64
    assert model.prediction_type == "v_prediction"
    assert model.alphas_cumprod[-1] == 0
    packed = model.unet.state_dict()
    for name, value in module.model.unet.state_dict().items():
        torch.testing.assert_close(packed[name], value.half().float(), rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [None, 1e-3])
def test_the_text_encoder_learns_and_is_packed_when_it_has_a_rate(
    folder: Path, sprites: Path, tmp_path: Path, rate: float | None
) -> None:
    base = shutil.copytree(folder / "base", tmp_path / "base")
    module = NanoDenoiserModule(
        str(base), block_out_channels=(32, 32, 32), text_encoder_learning_rate=rate
    )
    (text_encoder,) = module.model.text_encoders
    before = {name: value.clone() for name, value in text_encoder.state_dict().items()}
    trainer = quiet_trainer(max_steps=2, limit_val_batches=0)
    trainer.fit(module, SceneDataModule(str(sprites), batch_size=4))
    trainer.save_checkpoint(tmp_path / "unet.ckpt")
    pack_unet(tmp_path / "unet.ckpt", base)

    packed = load(base).text_encoders[0].state_dict()
    for name, value in text_encoder.state_dict().items():
        torch.testing.assert_close(packed[name], value.half().float(), rtol=0, atol=0)
    # as transformers before 5.6 names them, which would find none else
    assert all(name.startswith("text_model.") for name in load_file(_text_weights(base)))
    changed = [name for name in before if not torch.equal(packed[name], before[name].half())]
    assert bool(changed) == (rate is not None)


@pytest.mark.slow
def test_the_timesteps_of_a_batch_are_spread_evenly(
    folder: Path, sprites: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Tensor] = []

    def spy(latents: Tensor, noise: Tensor, timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
        drawn.append(timesteps)
        return add_noise(latents, noise, timesteps, alphas_cumprod)

    monkeypatch.setattr("sdtune.nano.making.denoiser.add_noise", spy)
    module = NanoDenoiserModule(str(folder / "base"), block_out_channels=(32, 32, 32))
    trainer = quiet_trainer(max_steps=3, limit_val_batches=0)
    trainer.fit(module, SceneDataModule(str(sprites), batch_size=4))
    first, second, third = drawn
    for timesteps in drawn:
        assert torch.equal(timesteps // 250, torch.arange(4))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.slow
def test_latents_have_a_standard_deviation_of_one(folder: Path, sprites: Path) -> None:
    module = NanoDenoiserModule(str(folder / "base"), block_out_channels=(32, 32, 32))
    data = SceneDataModule(str(sprites), batch_size=64, seed=5)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    with torch.no_grad():
        moments = module.model.encode_images(batch["pixel_values"])
    assert module.model.latents_from_moments(moments).std() == pytest.approx(1.0, rel=0.1)


@pytest.mark.slow
def test_the_evaluation_clip_loads_in_transformers(folder: Path) -> None:
    clip = CLIPModel.from_pretrained(folder / "evaluation_clip")
    assert clip.config.vision_config.image_size == 64
