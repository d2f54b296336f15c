import pytest
import torch

from sdtune.adapters.lora import LoRAAdapter, lora_layers
from sdtune.adapters.lora.placement import (
    LoRAMatrices,
    matrices_of,
    place_lora,
    text_module_name,
)
from sdtune.models import load

NAME = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"


def test_what_is_placed_comes_out_again_and_the_random_state_stays(tiny_sd):
    model = load(tiny_sd)
    weight = model.unet.get_submodule(NAME).weight
    down, up = torch.randn(2, weight.shape[1]), torch.randn(weight.shape[0], 2)
    state = torch.get_rng_state()
    place_lora(model, {"unet": LoRAMatrices({NAME: (down, up, 3.0)})}, "a file")
    assert torch.equal(torch.get_rng_state(), state)
    [layer] = lora_layers(model).values()
    assert layer.scaling["default"] == 1.5
    found = matrices_of(LoRAAdapter.from_model(model), "unet")
    assert torch.equal(found[NAME][0], down)
    assert torch.equal(found[NAME][1], up)
    assert found[NAME][2] == 3.0


def test_a_part_that_the_base_lacks(tiny_sd):
    with pytest.raises(ValueError, match=r"a file to be a LoRA for .* tunes a `text_encoder_2`"):
        place_lora(load(tiny_sd), {"text_encoder_2": LoRAMatrices()}, "a file")


def test_text_modules_have_the_names_of_this_transformers(tiny_sd):
    model = load(tiny_sd)
    part = model.text_encoders[0]
    names = {name for name, _ in part.named_modules()}
    for written in ("encoder.layers.0.mlp.fc1", "text_model.encoder.layers.0.mlp.fc1"):
        assert text_module_name(written, part) in names
