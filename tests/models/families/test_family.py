"""A family from outside the package: its bases load, train and draw, and nothing else is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors.torch import save_file
from torch import Tensor

from sdtune.adapters.lora import lora_parameters
from sdtune.adapters.words import remove_token_embeddings
from sdtune.data.style import StyleDataModule
from sdtune.data.subject import SubjectDataModule
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
from sdtune.techniques.textual_inversion import TextualInversionModule
from tests.models.families.toy_xl import ToyXLFamily
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer

PROMPTS = ["a cat on a blue background", "two dogs"]


@pytest.fixture
def model(toy_xl: Path, family: ToyXLFamily) -> StableDiffusion:
    return load(toy_xl)


def test_bases_are_unknown_until_their_family_is_registered(toy_xl: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"a Stable Diffusion 1 or 2 for text to image, a StableDiffusionPipeline, but .* "
        r"is a StableDiffusionXLPipeline",
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
    del weights["conditioner.embedders.1.weight"]
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"a whole toy .* it lacks the second text encoder\."):
        check_base(path)


def test_prompts_are_encoded_as_by_diffusers(model: StableDiffusion) -> None:
    for ours, theirs in ((1, None), (2, 1)):
        conditioning = model.encode_prompts(PROMPTS, clip_skip=ours)
        hidden_states, _, pooled, _ = model.pipeline().encode_prompt(
            PROMPTS, device="cpu", do_classifier_free_guidance=False, clip_skip=theirs
        )
        assert torch.equal(conditioning.encoder_hidden_states, hidden_states)
        assert torch.equal(conditioning.added_cond_kwargs["text_embeds"], pooled)


@pytest.mark.parametrize("guidance_scale", [1.0, 4.0])
def test_pictures_equal_those_of_diffusers(
    toy_xl: Path, model: StableDiffusion, guidance_scale: float
) -> None:
    peer = StableDiffusionXLPipeline.from_pretrained(toy_xl, add_watermarker=False)
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


def test_the_sizes_of_the_pictures_reach_the_unet(toy_xl: Path, family: ToyXLFamily) -> None:
    module = LoRAStyleModule(str(toy_xl), rank=2)
    module.load_base()
    told: list[dict[str, Tensor]] = []
    module.model.unet.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["added_cond_kwargs"]), with_kwargs=True
    )
    batch = {"moments": torch.randn(2, 8, 16, 16), "caption": PROMPTS, "index": [0, 1]}
    losses = [module.training_losses(batch)[0]]
    batch["original_size"] = [(512, 384), (64, 64)]  # as the data modules tell them
    losses.append(module.training_losses(batch)[0])
    assert told[0]["time_ids"].tolist() == [[64, 64, 0, 0, 64, 64]] * 2
    assert told[1]["time_ids"][0].tolist() == [512, 384, 0, 0, 64, 64]
    expected = module.model.encode_prompts(PROMPTS).added_cond_kwargs["text_embeds"]
    torch.testing.assert_close(told[0]["text_embeds"], expected)
    assert not torch.equal(losses[0][0], losses[1][0])
    assert torch.equal(losses[0][1], losses[1][1])


@pytest.mark.slow
def test_a_word_is_learned_for_every_text_encoder(
    toy_xl: Path, family: ToyXLFamily, tmp_path: Path
) -> None:
    data = SubjectDataModule(
        make_picture_folder(tmp_path / "discs"),
        instance_prompt="<disc>",
        prompt_templates="object",
        resolution=64,
        batch_size=2,
        cache_dir=str(tmp_path / "cache"),
    )
    module = TextualInversionModule("<disc>", "c d", str(toy_xl), num_vectors=2, learning_rate=1e-2)
    module.load_base()
    (words,) = module.learns
    before = [rows.detach().clone() for rows in words.rows(module.model)]
    assert [rows.shape for rows in before] == [(2, 16), (2, 32)]
    quiet_trainer(max_steps=2).fit(module, data)
    for rows, old in zip(words.rows(module.model), before, strict=True):
        assert (rows - old).abs().min(dim=1).values.min() > 0
    assert [vectors.shape for vectors in module.adapter().adapters[0].vectors] == [(2, 16), (2, 32)]
    base = load(toy_xl)
    assert module.model.fingerprint("text_encoders") == base.fingerprint("text_encoders")
    with pytest.raises(ValueError, match="`<disc>` has vectors for 2, which"):
        module.adapter().save(tmp_path)
    prompts = [f"a {word} on the moon" for word in ("<disc>", "c d")]
    learned, read = (
        module.generate(prompts[:1], [0], num_inference_steps=2, use_adapter=use_adapter)
        for use_adapter in (True, False)
    )
    torch.testing.assert_close(read, sample(base, prompts[1:], seeds=[0], num_inference_steps=2))
    assert (learned - read).abs().max() > 1e-3
    remove_token_embeddings(module.model)
    assert module.model.state_dict().keys() == base.state_dict().keys()
    assert [len(each) for each in module.model.tokenizers] == [len(t) for t in base.tokenizers]


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
    assert len(lora_parameters(module.model.text_encoders)) == (48 if learns else 0)
    drawn = [
        module.generate(PROMPTS, [0, 1], num_inference_steps=2, use_adapter=use_adapter)
        for use_adapter in (True, False)
    ]
    assert (drawn[0] - drawn[1]).abs().max() > 1e-3
    untouched = sample(load(toy_xl), PROMPTS, seeds=[0, 1], num_inference_steps=2)
    torch.testing.assert_close(drawn[1], untouched)
