from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from sdtune.metrics import features
from sdtune.metrics.features import load_clip, load_dino
from tests.metrics.tiny_networks import random_images

MEAN = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
STD = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]


def test_a_picture_of_the_network_s_size_is_only_normalised(clip):
    images = random_images(3, seed=0)
    output = clip.model.get_image_features((images - MEAN) / STD).pooler_output
    torch.testing.assert_close(clip.embed_images(images), F.normalize(output, dim=1))


def test_dino_is_the_class_token(dino):
    images = random_images(3, seed=0)
    output = dino.model(2 * images - 1).last_hidden_state[:, 0]
    torch.testing.assert_close(dino.embed_images(images), F.normalize(output, dim=1))


def test_dinov2_is_read_alike(tmp_path):
    from transformers import BitImageProcessorPil, Dinov2Config, Dinov2Model

    widths = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Dinov2Model(Dinov2Config(**widths, image_size=56, patch_size=14)).eval()
    model.save_pretrained(tmp_path)
    BitImageProcessorPil(size={"shortest_edge": 64}, crop_size=56).save_pretrained(tmp_path)
    images = random_images(2, seed=0)
    output = model((images[:, :, 4:60, 4:60] - MEAN) / STD).pooler_output  # the class token, normed
    vectors = load_dino(tmp_path).embed_images(images)
    torch.testing.assert_close(vectors, F.normalize(output, dim=1).detach(), atol=1e-5, rtol=1e-4)


def test_all_of_a_picture_that_is_not_square_counts(clip, dino):
    wide = random_images(1, seed=1, size=128)[0]
    wide = torch.cat([wide, wide.flip(0)], dim=2)
    changed = wide.clone()
    changed[:, :, :40] = 1 - changed[:, :, :40]  # far from the middle square
    for judge in (clip, dino):
        vectors = judge.embed_images([wide, changed, wide])
        torch.testing.assert_close(vectors[0], vectors[2])
        assert vectors[0] @ vectors[1] < 0.999
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))
    # squeezed by the processor's own filter
    pixels = (255 * wide).round().byte().permute(1, 2, 0).numpy()
    square = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    square = torch.from_numpy(np.array(square)).permute(2, 0, 1) / 255
    torch.testing.assert_close(clip.embed_images([wide]), clip.embed_images([square]))


def test_squares_are_prepared_as_the_processor_does(clip):
    squares = random_images(2, seed=3, size=100)
    arrays = [(255 * each).round().byte().numpy() for each in squares]
    expected = clip.image_processor(arrays, return_tensors="pt", input_data_format="channels_first")
    assert torch.equal(clip._pixel_values(squares), expected["pixel_values"])


def test_more_pictures_than_pass_at_once_keep_their_order(clip, monkeypatch):
    images = random_images(7, seed=2)
    whole = clip.embed_images(images)
    monkeypatch.setattr(features, "_PICTURES_AT_ONCE", 3)
    torch.testing.assert_close(clip.embed_images(images), whole)


def test_a_text_does_not_depend_on_its_neighbours(clip):
    long = "word " * 200
    together = clip.embed_texts(["a cat", long])
    torch.testing.assert_close(together[:1], clip.embed_texts(["a cat"]))
    torch.testing.assert_close(together[1:], clip.embed_texts([long]))


def test_the_network_is_frozen_and_float32(clip_folder, tmp_path):
    half = shutil.copytree(clip_folder, tmp_path / "half")
    load_clip(clip_folder).model.half().save_pretrained(half)
    clip = load_clip(half)
    assert {parameter.dtype for parameter in clip.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in clip.parameters())
    assert not clip.model.training


@pytest.mark.parametrize("load", [load_clip, load_dino])
def test_a_model_that_is_not_here_gives_one_sentence(load):
    with pytest.raises(ValueError, match="neither a folder here") as caught:
        load("sdtune/no-such-model")
    assert "hf download sdtune/no-such-model" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_names_no_model_is_refused():
    with pytest.raises(ValueError, match=r"Hugging Face id .* but got `/no/such/clip`"):
        load_clip("/no/such/clip")


def test_a_folder_without_preprocessing_gives_one_sentence(clip_folder, tmp_path):
    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match="could not be loaded") as caught:
        load_clip(folder)
    assert "\n" not in str(caught.value)


def test_nano_s_clip_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr("sdtune.metrics.judge_files.files", lambda package: tmp_path)
    with pytest.raises(ValueError, match="nano's evaluation CLIP is missing"):
        load_clip()


@pytest.mark.parametrize(
    ("load", "name"), [(load_clip, "text_projection"), (load_dino, "layer.0.")]
)
def test_a_network_that_lacks_weights_is_refused(load, name, clip_folder, dino_folder, tmp_path):
    folder = clip_folder if load is load_clip else dino_folder
    shutil.copytree(folder, tmp_path / "judge")
    path = tmp_path / "judge" / "model.safetensors"
    weights = load_file(path)
    kept = {each: weight for each, weight in weights.items() if name not in each}
    save_file(kept, path, {"format": "pt"})
    lost = len(weights) - len(kept)
    with pytest.raises(ValueError, match=f"could not be loaded: {path} lacks {lost} of the "):
        load(tmp_path / "judge")


def test_another_network_is_refused(clip_folder, dino_folder):
    with pytest.raises(ValueError, match="to be a CLIP, but got `vit`"):
        load_clip(dino_folder)
    assert json.loads((clip_folder / "config.json").read_text())["model_type"] == "clip"
    with pytest.raises(ValueError, match="to be a DINO, but got `clip`"):
        load_dino(clip_folder)


def test_no_picture_is_refused(clip):
    with pytest.raises(ValueError, match="at least one picture to embed"):
        clip.embed_images([])
