"""A family from outside the package: its bases load, train and draw, and nothing else is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdtune.adapters.lora import lora_parameters
from sdtune.data.style import StyleDataModule
from sdtune.models import (
    StableDiffusion,
    check_base,
    initial_noise,
    load,
    load_tokenizers,
    make_noise_scheduler,
    sample,
)
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.models.families.toy_xl import ToyXLFamily, ToyXLPipeline
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer

PROMPTS = ["a cat on a blue background", "two dogs"]


@pytest.fixture
def model(toy_xl: Path, family: ToyXLFamily) -> StableDiffusion:
    return load(toy_xl)


def test_bases_are_unknown_until_their_family_is_registered(toy_xl: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"a Stable Diffusion 1 or 2 for text to image, a StableDiffusionPipeline or a .* "
        r"is a ToyXLPipeline",
    ):
        check_base(toy_xl)


def test_all_parts_are_loaded_and_those_that_lack_are_named(
    model: StableDiffusion, family: ToyXLFamily, toy_xl: Path, tmp_path: Path
) -> None:
    assert model.family is family
    assert [type(each).__name__ for each in model.text_encoders] == [
        "CLIPTextModel",
        "CLIPTextModelWithProjection",
    ]
    assert len(load_tokenizers(toy_xl)) == len(model.tokenizers) == 2
    folder = shutil.copytree(toy_xl, tmp_path / "incomplete")
    shutil.rmtree(folder / "text_encoder_2")
    shutil.rmtree(folder / "tokenizer_2")
    with pytest.raises(ValueError, match=r"lacks text_encoder_2/config.json, .* tokenizer_2/\."):
        check_base(folder)


def test_one_file_is_recognised_by_its_text_encoders(
    family: ToyXLFamily, toy_xl: Path, tmp_path: Path
) -> None:
    weights = {f"{prefix}weight": torch.zeros(1) for prefix in family.single_file_parts}
    path = tmp_path / "xl.safetensors"
    (tmp_path / "xl").symlink_to(toy_xl)  # the configurations
    save_file(weights, path)
    check_base(path)
    del weights["toy.embedders.1.weight"]
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"a whole toy .* it lacks the second text encoder\."):
        check_base(path)


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_pictures_equal_those_of_diffusers(
    toy_xl: Path, model: StableDiffusion, guidance_scale: float
) -> None:
    peer = ToyXLPipeline.from_pretrained(toy_xl, add_watermarker=False)
    peer.scheduler = make_noise_scheduler("euler", peer.scheduler)
    peer.set_progress_bar_config(disable=True)
    theirs = peer(
        PROMPTS,
        negative_prompt=["blurry"] * 2,
        latents=initial_noise(model, [1, 2], 64, 48),
        height=64,
        width=48,
        num_inference_steps=3,
        guidance_scale=guidance_scale,
        output_type="pt",
    ).images
    ours = sample(
        model,
        PROMPTS,
        seeds=[1, 2],
        negative_prompt="blurry",
        height=64,
        width=48,
        num_inference_steps=3,
        guidance_scale=guidance_scale,
        noise_scheduler="euler",
    )
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("rate", [None, 1e-2])
def test_a_lora_trains_and_draws(
    toy_xl: Path, family: ToyXLFamily, tmp_path: Path, rate: float | None
) -> None:
    data = StyleDataModule(
        make_picture_folder(tmp_path / "discs"),
        resolution=64,
        batch_size=2,
        cache_dir=str(tmp_path / "cache"),
    )
    module = LoRAStyleModule(
        str(toy_xl), rank=2, learning_rate=1e-2, text_encoder_learning_rate=rate
    )
    quiet_trainer(max_steps=2).fit(module, data)
    moved = {
        name: any(
            parameter.any() for name, parameter in part.named_parameters() if "lora_B" in name
        )
        for name, part in (
            ("unet", module.model.unet),
            *zip(family.text_encoder_names, module.model.text_encoders, strict=True),
        )
    }
    learns = rate is not None
    assert moved == {"unet": True, "text_encoder": learns, "text_encoder_2": learns}
    assert len(lora_parameters(module.model.text_encoders)) == (32 if learns else 0)
    drawn = [
        module.generate(PROMPTS, [0, 1], num_inference_steps=2, use_adapter=use_adapter)
        for use_adapter in (True, False)
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3
    untouched = sample(load(toy_xl), PROMPTS, seeds=[0, 1], num_inference_steps=2)
    torch.testing.assert_close(drawn[1], untouched)
