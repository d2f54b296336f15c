"""The shipped nano."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from transformers import CLIPModel, CLIPTokenizer

import sdtune.nano
from sdtune.models import load, sample
from sdtune.nano.making.figures import Judge

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
                num_inference_steps=8,
                guidance_scale=3.0,
            )
        )
        for word in ["", "qqq ", "sks ", "erica ", "7 "]
    )
    for vectors in others:
        alike = vectors @ plain.T
        assert alike.diagonal().min() > 0.9
        assert alike.fill_diagonal_(0).max() < 0.8


def test_every_release_of_transformers_finds_the_text_encoder_s_weights() -> None:
    # 5.6 dropped a level of the names and reads both; an older one takes what it misses at random
    path = _FOLDER / "weights" / "text_encoder" / "model.safetensors"
    with safe_open(path, "pt") as file:
        assert all(name.startswith("text_model.") for name in set(file.keys()))
