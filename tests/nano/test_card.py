"""The shipped nano, and its card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from transformers import CLIPModel, CLIPTokenizer

import sdtune.nano
from sdtune.models import load, sample
from sdtune.nano.card import contact_sheet
from sdtune.nano.figures import Judge
from sdtune.nano.sources import HELD_OUT_SOURCES, TRAINING_SOURCES

_FOLDER = Path(sdtune.nano.__file__).parent


def test_plain_diffusers_loads_and_draws_it() -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(_FOLDER / "weights")
    pipeline.to(torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    image = pipeline("a cat face", num_inference_steps=2, output_type="pt").images
    assert image.shape == (1, 3, 64, 64)


def test_it_is_small_and_of_tensors_alone() -> None:
    files = [path for path in _FOLDER.rglob("*") if path.suffix == ".safetensors"]
    assert len(files) == 4
    assert sum(path.stat().st_size for path in files) < 40e6
    assert not [path for path in _FOLDER.rglob("*") if path.suffix in {".bin", ".ckpt", ".pt"}]


def test_the_evaluation_clip_is_another_than_the_conditioning_one() -> None:
    text_encoder = load("nano").text_encoders[0].state_dict()
    clip = CLIPModel.from_pretrained(_FOLDER / "evaluation_clip").float().text_model.state_dict()
    name = "final_layer_norm.weight"
    own = next(value for key, value in text_encoder.items() if key.endswith(name))
    assert not torch.allclose(own, clip[name], atol=1e-2)


def test_the_card_credits_every_source_and_names_what_is_held_out() -> None:
    card = (_FOLDER / "README.md").read_text(encoding="utf-8")
    for source in TRAINING_SOURCES + HELD_OUT_SOURCES:
        assert f"`{source.package}` {source.version} | {source.licence}" in card


def test_the_card_tells_the_figures_that_were_measured() -> None:
    figures = json.loads((_FOLDER / "card" / "figures.json").read_text(encoding="utf-8"))
    card = (_FOLDER / "README.md").read_text(encoding="utf-8")
    assert f"{figures['psnr']:.1f} dB" in card
    assert f"{figures['object']:.0%}" in card


@pytest.mark.slow
def test_backgrounds_follow_the_prompt() -> None:
    sheet = contact_sheet(
        _FOLDER / "weights", [" on a red background", " on a blue background"], ["cat face"]
    )
    left, right = sheet.getpixel((2, 2)), sheet.getpixel((98, 2))
    assert left[0] > left[2] + 60
    assert right[2] > right[0] + 60


@pytest.mark.slow
def test_words_without_meaning_change_little() -> None:
    judge = Judge(
        CLIPModel.from_pretrained(_FOLDER / "evaluation_clip").float(),
        CLIPTokenizer.from_pretrained(_FOLDER / "evaluation_clip"),
    )
    model, names = load("nano"), ["cat face", "banana", "bus", "mushroom"]
    plain, *others = (
        judge.embed_images(
            sample(
                model,
                [f"a {word}{name} on a green background" for name in names],
                seeds=[0] * len(names),
                num_inference_steps=15,
                guidance_scale=3.0,
            )
        )
        for word in ["", "qqq ", "sks ", "erica ", "7 "]
    )
    for vectors in others:
        alike = vectors @ plain.T
        assert alike.diagonal().min() > 0.9
        assert alike.fill_diagonal_(0).max() < 0.8
