"""Stable Diffusion XL: encoded, told and drawn as diffusers does, and where it must not be."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdtune.adapters.lora import add_lora, lora_layers
from sdtune.adapters.words import add_token_embedding
from sdtune.data.style import StyleDataModule
from sdtune.models import (
    StableDiffusion,
    check_base,
    initial_noise,
    load,
    make_noise_scheduler,
    sample,
)
from sdtune.models.families import StableDiffusionXLFamily
from sdtune.models.skeleton import load_skeleton
from sdtune.techniques.dreambooth import DreamBoothModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.fast_part import some_fast
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.tiny_models import make_tiny_xl

PROMPTS = ["a cat on a blue background", "two dogs"]
SIZES = {
    "original_size": [(512, 384), (64, 64)],  # as the data modules tell them
    "crop_top_left": [(0, 7), (3, 0)],
    "target_size": [(64, 64), (64, 64)],
}


@pytest.fixture
def model(tiny_xl: Path) -> StableDiffusion:
    return load(tiny_xl)


def test_prompts_are_encoded_as_by_diffusers(model: StableDiffusion) -> None:
    for ours, theirs in ((1, None), (2, 1)):  # diffusers counts from 0
        conditioning = model.encode_prompts(PROMPTS, clip_skip=ours)
        hidden_states, _, pooled, _ = model.pipeline().encode_prompt(
            PROMPTS, device="cpu", do_classifier_free_guidance=False, clip_skip=theirs
        )
        assert torch.equal(conditioning.encoder_hidden_states, hidden_states)
        assert torch.equal(conditioning.added_cond_kwargs["text_embeds"], pooled)
    with pytest.raises(ValueError, match="`clip_skip` to be an integer from 1 to 2, but got 3"):
        model.encode_prompts(PROMPTS, clip_skip=3)


def test_a_long_prompt_is_read_in_pieces_by_both_text_encoders(tiny_xl: Path) -> None:
    model = load(tiny_xl)
    model.max_prompt_chunks = 2
    first, second = "y" * 75, " " + "z" * 20
    found = model.encode_prompts([first + second])
    parts = [model.encode_prompts([each]) for each in (first, second)]
    expected = torch.cat([each.encoder_hidden_states for each in parts], dim=1)
    torch.testing.assert_close(found.encoder_hidden_states, expected)
    # as kohya's trainer, ComfyUI and A1111 take it
    expected = parts[0].added_cond_kwargs["text_embeds"]
    torch.testing.assert_close(found.added_cond_kwargs["text_embeds"], expected)
    pictures = sample(model, [first + second, "a cat"], seeds=[1, 1], num_inference_steps=1)
    alone = sample(model, ["a cat"], seeds=[1], num_inference_steps=1)
    torch.testing.assert_close(pictures[1:], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("zeros", "negative_prompt"),
    some_fast(
        # what is no empty prompt is read, whatever these are
        [(True, ""), (True, "blurry"), (False, "")],
        [(True, ""), (True, "blurry")],
    ),
)
def test_pictures_equal_those_of_the_stock_pipeline_to_the_last_bit(
    tiny_xl: Path, tmp_path: Path, zeros: bool, negative_prompt: str
) -> None:
    base = shutil.copytree(tiny_xl, tmp_path / "xl")
    index = json.loads((base / "model_index.json").read_text(encoding="utf-8"))
    index["force_zeros_for_empty_prompt"] = zeros
    (base / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    model = load(base)
    peer: Any = StableDiffusionXLPipeline.from_pretrained(base, add_watermarker=False)
    peer.scheduler = make_noise_scheduler("euler", peer.scheduler)
    peer.set_progress_bar_config(disable=True)
    # in another layout, and beside weights that learn, products are summed in another order
    for part in (peer.unet, peer.vae):
        part.to(memory_format=torch.channels_last).requires_grad_(False)
    theirs = peer(
        PROMPTS[0],
        negative_prompt=negative_prompt or None,
        latents=initial_noise(model, [1], 64, 48),
        height=64,
        width=48,
        num_inference_steps=2,
        guidance_scale=4.0,
        output_type="pt",
    ).images
    arguments: dict[str, Any] = {
        "seeds": [1],
        "height": 64,
        "width": 48,
        "num_inference_steps": 2,
        "guidance_scale": 4.0,
        "noise_scheduler": "euler",
    }
    ours = sample(model, PROMPTS[:1], negative_prompt=negative_prompt, **arguments)
    assert theirs.std() > 0.05
    assert torch.equal(ours, theirs)
    if zeros and not negative_prompt:
        assert not torch.equal(sample(model, PROMPTS[:1], negative_prompt=" ", **arguments), ours)


def test_what_a_base_says_of_empty_prompts_reaches_its_pipeline(tmp_path: Path) -> None:
    model = load(make_tiny_xl(tmp_path / "xl", zeros_for_empty=False))
    assert model.pipeline().config["force_zeros_for_empty_prompt"] is False
    plain = model.encode_prompts([""]).encoder_hidden_states
    assert torch.equal(model.encode_negative_prompt("").encoder_hidden_states, plain)


def test_a_new_word_does_not_move_the_end_of_a_prompt(model: StableDiffusion) -> None:
    """The published second encoder's configuration names token 2, by which it would."""
    prompt = "a <disc> on the moon"
    add_token_embedding(model, "<disc>", "c")
    ids = model.tokenize([prompt], encoder=1)
    assert ids.max() > model.tokenizers[1].eos_token_id
    found = model.encode_prompts([prompt]).added_cond_kwargs["text_embeds"]
    second = model.text_encoders[1]
    last = second(ids, output_hidden_states=True).last_hidden_state
    (end,) = (ids[0] == model.tokenizers[1].eos_token_id).nonzero()[0]
    torch.testing.assert_close(found, second.text_projection(last[:, end]))
    _, _, pooled, _ = model.pipeline().encode_prompt(
        prompt, device="cpu", do_classifier_free_guidance=False
    )
    assert torch.equal(pooled, found)
    plain = model.encode_prompts(["a c on the moon"]).added_cond_kwargs["text_embeds"]
    torch.testing.assert_close(found, plain)  # the word is what it was started from


def test_the_sizes_of_the_pictures_reach_the_unet(shallow_xl: Path) -> None:
    module = LoRAStyleModule(str(shallow_xl), rank=2)
    module.load_base()
    told = _told(module.model)
    batch: dict[str, Any] = {
        "moments": torch.randn(2, 8, 8, 8),
        "caption": PROMPTS,
        "index": [0, 1],
    }
    losses = [module.training_losses(batch)[0]]
    batch["original_size"] = SIZES["original_size"]
    losses.append(module.training_losses({**batch, **SIZES}, number=0)[0])
    module.generate(PROMPTS[:1], [0], num_inference_steps=1, guidance_scale=1.0)
    assert told[0]["time_ids"].tolist() == [[64, 64, 0, 0, 64, 64]] * 2
    assert told[1]["time_ids"].tolist() == [[512, 384, 0, 7, 64, 64], [64, 64, 3, 0, 64, 64]]
    assert told[2]["time_ids"].tolist() == [[64, 64, 0, 0, 64, 64]]
    expected = module.model.encode_prompts(PROMPTS).added_cond_kwargs["text_embeds"]
    torch.testing.assert_close(told[0]["text_embeds"], expected)
    assert (losses[0] != losses[1]).all()


def test_class_pictures_are_told_with_their_own_sizes(shallow_xl: Path) -> None:
    module = DreamBoothModule(str(shallow_xl), rank=2)
    module.load_base()
    told = _told(module.model)
    batch: dict[str, Any] = {"moments": torch.randn(2, 8, 8, 8), "caption": PROMPTS, **SIZES}
    own = {**batch, "original_size": [(99, 98), (97, 96)]}
    batch |= {"index": [0, 1], **{f"class_{name}": value for name, value in own.items()}}
    module.training_step({**batch, "class_index": [1, 0]}, 0)
    rows = told[0]["time_ids"].tolist()
    assert [row[:2] for row in rows] == [[512, 384], [64, 64], [99, 98], [97, 96]]
    assert [row[2:] for row in rows[:2]] == [row[2:] for row in rows[2:]]


@pytest.mark.slow
def test_frozen_text_encoders_read_each_caption_once_and_all_of_it_is_kept(
    shallow_xl: Path, tmp_path: Path
) -> None:
    module = LoRAStyleModule(str(shallow_xl), rank=2, gradient_checkpointing=True)
    module.load_base()
    asked: Counter[nn.Module] = Counter()
    for encoder in module.model.text_encoders:
        encoder.register_forward_pre_hook(lambda which, args: asked.update({which: len(args[0])}))
    folder = make_picture_folder(tmp_path / "discs")
    data = StyleDataModule(folder, resolution=64, batch_size=2, cache_dir=str(tmp_path / "cache"))
    told = _told(module.model)
    quiet_trainer(max_steps=3).fit(module, data)
    captions = data.captions()
    # one of them first, which tells how much room they take
    assert list(asked.values()) == [len(captions) + 1] * 2
    assert len(told) == 3
    expected = module.model.encode_prompts(captions).added_cond_kwargs["text_embeds"]
    rows = torch.cat([each["text_embeds"] for each in told])
    distance = torch.cdist(rows, expected)  # every row is one of the captions'
    assert distance.min(dim=1).values.max() < 1e-4
    sizes = {tuple(row) for each in told for row in each["time_ids"].tolist()}
    assert sizes <= {(*s["original_size"], *s["crop_top_left"], 64, 64) for s in data.train_dataset}


@pytest.mark.parametrize("clip_skip", [1, 2])
def test_a_lora_is_where_it_can_learn(tiny_xl: Path, clip_skip: int) -> None:
    """Of the first encoder the last layer is not used; of the second, as the pooled output."""
    model = load(tiny_xl)
    add_lora(model, rank=2, alpha=2, text_encoder=True, clip_skip=clip_skip)
    layers = [
        {int(name.split(".layers.")[1].split(".")[0]) for name in lora_layers(each)}
        for each in model.text_encoders
    ]
    assert layers == [set(range(3 - clip_skip)), set(range(4))]


@pytest.mark.slow
def test_a_tuned_base_draws_in_the_stock_pipeline_what_it_drew(
    shallow_xl: Path, tmp_path: Path
) -> None:
    module = LoRAStyleModule(
        str(shallow_xl), rank=2, alpha=1, learning_rate=0.1, text_encoder_learning_rate=0.1
    )
    data = StyleDataModule(
        make_picture_folder(tmp_path / "discs"), resolution=64, cache_dir=str(tmp_path / "cache")
    )
    quiet_trainer(max_steps=2).fit(module, data)
    path = module.adapter().save(tmp_path, module.adapter_metadata())
    peer: Any = StableDiffusionXLPipeline.from_pretrained(shallow_xl, add_watermarker=False)
    peer.load_lora_weights(tmp_path, weight_name=path.name)
    peer.scheduler = make_noise_scheduler("dpm++", peer.scheduler)
    peer.set_progress_bar_config(disable=True)
    theirs = peer(
        PROMPTS[0],
        latents=initial_noise(module.model, [1], 64, 64),
        num_inference_steps=3,
        guidance_scale=4.0,
        output_type="pt",
    ).images
    ours, untuned = (
        module.generate(
            PROMPTS[:1], [1], num_inference_steps=3, guidance_scale=4.0, use_adapter=use_adapter
        )
        for use_adapter in (True, False)
    )
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)
    assert (ours - untuned).abs().max() > 0.05


def test_the_refiner_is_refused(model: StableDiffusion) -> None:
    config = {**model.unet.config, "projection_class_embeddings_input_dim": 5 * 8 + 24}
    refiner = UNet2DConditionModel.from_config(config)
    with pytest.raises(ValueError, match="such as the refiner's: fine-tune `stabilityai/stable-"):
        StableDiffusion(
            refiner,
            model.vae,
            list(model.text_encoders),  # type: ignore[arg-type]
            model.tokenizers,
            model.noise_scheduler,
            "refiner",
            model.family,
        )


def test_one_file_is_recognised_by_its_text_encoders(tiny_xl: Path, tmp_path: Path) -> None:
    parts = StableDiffusionXLFamily.single_file_parts
    weights = {f"{prefix}weight": torch.zeros(1) for prefix in parts}
    path = tmp_path / "xl.safetensors"
    (tmp_path / "xl").symlink_to(tiny_xl)  # the configurations
    save_file(weights, path)
    check_base(path)
    del weights["conditioner.embedders.1.model.weight"]
    save_file(weights, path)
    with pytest.raises(ValueError, match=r"it lacks the second text encoder of Stable Diffusion"):
        check_base(path)


def test_a_skeleton_has_the_same_modules(tiny_xl: Path, model: StableDiffusion) -> None:
    skeleton = load_skeleton(tiny_xl)
    assert list(skeleton) == ["unet", "text_encoder", "text_encoder_2"]
    for found, whole in zip(skeleton.values(), (model.unet, *model.text_encoders), strict=True):
        assert found.state_dict().keys() == whole.state_dict().keys()


def test_at_true_width_the_modules_are_those_of_the_published_model(
    model: StableDiffusion,
) -> None:
    """Sizes of `stabilityai/stable-diffusion-xl-base-1.0`; kohya's trainer counts these modules."""
    wide = _true_width(model)
    assert sum(each.numel() for each in wide.unet.parameters()) == 2_567_463_684
    assert sum(each.numel() for each in wide.vae.parameters()) == 83_653_863
    assert [sum(p.numel() for p in each.parameters()) for each in wide.text_encoders] == [
        123_060_480,
        694_659_840,
    ]
    assert wide.resolution == 1024
    linear = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "net.0.proj", "ff.net.2")
    assert _count(wide.unet, linear) == 722
    text = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    assert [_count(each, text) for each in wide.text_encoders] == [72, 192]
    ours = {name for name, _ in model.unet.named_modules()}
    of_both = {name for name, _ in wide.unet.named_modules() if not _is_deeper(name)}
    assert {name for name in ours if not _is_deeper(name)} == of_both


def _told(model: StableDiffusion) -> list[dict[str, Tensor]]:
    told: list[dict[str, Tensor]] = []
    model.unet.register_forward_pre_hook(
        lambda _, args, kwargs: told.append(kwargs["added_cond_kwargs"]), with_kwargs=True
    )
    return told


def _count(module: nn.Module, names: tuple[str, ...]) -> int:
    return sum(name.endswith(names) for name, _ in module.named_modules())


def _is_deeper(name: str) -> bool:
    """Tell of a transformer layer that the tiny model has fewer of."""
    return any(f"transformer_blocks.{number}" in name for number in range(1, 10))


def _true_width(tiny: StableDiffusion) -> StableDiffusion:
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(
            {
                **tiny.unet.config,
                "sample_size": 128,
                "block_out_channels": (320, 640, 1280),
                "transformer_layers_per_block": (1, 2, 10),
                "attention_head_dim": (5, 10, 20),
                "cross_attention_dim": 2048,
                "addition_time_embed_dim": 256,
                "projection_class_embeddings_input_dim": 2816,
                "norm_num_groups": 32,
            }
        )
        vae = AutoencoderKL.from_config(
            {
                **tiny.vae.config,
                "sample_size": 1024,
                "block_out_channels": (128, 256, 512, 512),
                "layers_per_block": 2,
                "norm_num_groups": 32,
            }
        )
        sizes = {"vocab_size": 49408, "projection_dim": 1280, "eos_token_id": 2}
        first = CLIPTextConfig(**{**sizes, "hidden_size": 768, "intermediate_size": 3072})
        second = CLIPTextConfig(
            **sizes,
            hidden_size=1280,
            intermediate_size=5120,
            num_hidden_layers=32,
            num_attention_heads=20,
        )
        return StableDiffusion(
            unet,
            vae,
            [CLIPTextModel(first), CLIPTextModelWithProjection(second)],  # type: ignore[list-item]
            tiny.tokenizers,
            tiny.noise_scheduler,
            "meta",
            tiny.family,
        )
