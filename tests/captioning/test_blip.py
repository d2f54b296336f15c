from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sdtune.captioning.captioner import CaptionerSettings
from sdtune.captioning.registry import load_captioner
from tests.captioning.tiny_captioners import make_tiny_blip
from tests.metrics.tiny_networks import make_tiny_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_blip(tmp_path_factory.mktemp("blip"))


def _pictures() -> list[Image.Image]:
    levels = np.random.default_rng(0).integers(0, 256, (6, 20, 40, 3), dtype=np.uint8)
    return [Image.fromarray(each) for each in levels]


def test_captions_are_what_transformers_generates(folder: Path) -> None:
    from transformers import BertTokenizer, BlipForConditionalGeneration, BlipImageProcessorPil

    found = load_captioner("blip", CaptionerSettings(str(folder))).describe(_pictures())
    model = BlipForConditionalGeneration.from_pretrained(folder).eval()
    processor = BlipImageProcessorPil.from_pretrained(folder)
    tokenizer = BertTokenizer.from_pretrained(folder)
    for picture, caption in zip(_pictures(), found, strict=True):
        pixels = processor([picture], return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            ids = model.generate(pixels, num_beams=3, max_new_tokens=40)
        assert caption == tokenizer.decode(ids[0, 1:], skip_special_tokens=True)
    assert all(found)
    assert len(set(found)) > 1


def test_a_subject_begins_every_caption_and_is_gone_on_from(folder: Path) -> None:
    settings = CaptionerSettings(str(folder), subject="A photo of a Robot")
    found = load_captioner("blip", settings).describe(_pictures())
    assert all(caption.startswith("A photo of a Robot") for caption in found)
    assert any(len(caption) > len("A photo of a Robot") for caption in found)
    plain = load_captioner("blip", CaptionerSettings(str(folder))).describe(_pictures())
    assert [caption.removeprefix("A photo of a Robot ") for caption in found] != plain


def test_what_is_no_blip_or_not_whole_is_refused(
    folder: Path, tiny_sd: Path, tmp_path: Path
) -> None:
    clip = make_tiny_clip(tmp_path / "clip", tiny_sd / "tokenizer")
    with pytest.raises(ValueError, match="Expected a BLIP for captions, but it is a `clip`"):
        load_captioner("blip", CaptionerSettings(str(clip)))
    broken = make_tiny_blip(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    name = next(name for name in weights if name.startswith("vision_model.encoder"))
    del weights[name]
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"lacks 1 of the .* weights of the model, such as {name}"):
        load_captioner("blip", CaptionerSettings(str(broken)))
    with pytest.raises(ValueError, match="Salesforce/blip-image-captioning-base is neither"):
        load_captioner("blip", CaptionerSettings())
