"""A model whose file lacks weights is refused, and not filled at random."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModel

from sdtune.files.whole_weights import NotWholeError, load_whole

WIDTHS = {
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """A folder with a text encoder, as every release of transformers reads it."""
    config = CLIPTextConfig(**WIDTHS, vocab_size=9, max_position_embeddings=5)
    CLIPTextModel(config).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    names = {name.removeprefix("text_model."): each for name, each in weights.items()}
    _write(tmp_path, {f"text_model.{name}": each for name, each in names.items()})
    return tmp_path


def _write(folder: Path, weights: dict[str, Tensor]) -> None:
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def test_a_whole_file_is_loaded_as_its_library_does(
    text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # a buffer that is computed, and what other uses of the file need, are no fault
    _write(text, _weights(text) | {"logit_scale": torch.ones(1)})
    loaded = load_whole(CLIPTextModel, text).state_dict()
    expected = CLIPTextModel.from_pretrained(text).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    positions = torch.arange(5)[None]
    caplog.clear()
    _write(text, _weights(text) | {"text_model.embeddings.position_ids": positions})
    load_whole(CLIPTextModel, text)
    assert not caplog.records


def test_missing_weights_are_counted_and_the_first_named(text: Path) -> None:
    weights = _weights(text)
    for name in [name for name in weights if ".layers.1.mlp." in name]:
        del weights[name]
    _write(text, weights)
    with pytest.raises(NotWholeError) as caught:
        load_whole(CLIPTextModel, text.parent, subfolder=text.name)
    message = str(caught.value)
    assert message.startswith(f"{text / 'model.safetensors'} lacks 4 of the 36 weights")
    assert "encoder.layers.1.mlp.fc1.bias, " in message
    assert "mlp.fc2.weight" not in message  # the fourth
    assert "download both anew" in message


def test_weights_of_other_names_are_told(text: Path) -> None:
    _write(text, {f"other.{name}": each for name, each in _weights(text).items()})
    with pytest.raises(NotWholeError, match=r"lacks 36 of .* has others that .* such as other\."):
        load_whole(CLIPTextModel, text)


@pytest.mark.parametrize("library", ["transformers", "diffusers"])
def test_weights_of_other_shapes_are_told(text: Path, tmp_path: Path, library: str) -> None:
    if library == "transformers":
        kind, file, name = CLIPTextModel, text / "model.safetensors", "final_layer_norm.weight"
    else:
        kind, name = AutoencoderKL, "quant_conv.bias"
        AutoencoderKL(block_out_channels=(4,), norm_num_groups=2).save_pretrained(tmp_path / "vae")
        file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    place = next(each for each in weights if each.endswith(name))
    wanted = weights[place].numel()
    weights[place] = torch.zeros(2, 3)
    save_file(weights, file, {"format": "pt"})
    expected = rf"{file.name} has 1 of another shape, such as .*{name} \(2 x 3 where {wanted} is"
    with pytest.raises(NotWholeError, match=expected):
        load_whole(kind, file.parent)


def test_weights_that_are_never_used_may_be_missing(tmp_path: Path) -> None:
    model = CLIPVisionModel(CLIPVisionConfig(**WIDTHS, image_size=8, patch_size=4))
    model.save_pretrained(tmp_path)
    weights = _weights(tmp_path)
    place = next(name for name in weights if name.endswith("post_layernorm.bias"))
    del weights[place]
    _write(tmp_path, weights)
    with pytest.raises(NotWholeError, match="lacks 1 of"):
        load_whole(CLIPVisionModel, tmp_path)
    names = ("post_layernorm.", "vision_model.post_layernorm.")  # before transformers 5.6
    load_whole(CLIPVisionModel, tmp_path, unused=names)


def test_layers_beyond_the_configuration_are_told(
    text: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = json.loads((text / "config.json").read_text())
    (text / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with caplog.at_level(logging.WARNING):
        load_whole(CLIPTextModel, text)
    (record,) = caplog.records
    assert "model.safetensors holds 16 weights of layers" in record.getMessage()
    assert "encoder.layers.1.layer_norm1.bias" in record.getMessage()
