from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdtune.models import Part, StableDiffusion, load
from sdtune.models.original_layout import model_spec, original_weights
from tests.models.original_layout import original_state_dict

PARTS: tuple[Part, ...] = ("unet", "vae", "text_encoders")


def test_the_names_are_those_of_the_first_code(model: StableDiffusion) -> None:
    found, expected = original_weights(model), original_state_dict(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert model_spec(model)["modelspec.prediction_type"] == "epsilon"


def test_stable_diffusion_xl_is_read_back_with_both_text_encoders(
    tiny_xl: Path, tmp_path: Path
) -> None:
    model = load(tiny_xl)
    weights = original_weights(model)
    names = (
        "model.diffusion_model.label_emb.0.2.weight",
        "conditioner.embedders.0.transformer.text_model.final_layer_norm.bias",
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight",
        "conditioner.embedders.1.model.text_projection",
    )
    assert set(names) <= weights.keys()
    save_file(weights, tmp_path / "one.safetensors")
    again = load(tmp_path / "one.safetensors", config=tiny_xl)
    for part in PARTS:
        assert again.fingerprint(part) == model.fingerprint(part)


@pytest.mark.slow
def test_open_clip_keeps_queries_keys_and_values_together(tiny_sd: Path, tmp_path: Path) -> None:
    model = load(tiny_sd)
    encoder = model.text_encoders[0]
    encoder.config.hidden_act = "gelu"  # as Stable Diffusion 2's
    model.pipeline().save_pretrained(tmp_path / "two")
    weights = original_weights(model)
    [first] = [name for name in weights if name.endswith("resblocks.0.attn.in_proj_bias")]
    assert weights[first].shape == (96,)
    save_file(weights, tmp_path / "two.safetensors")
    again = load(tmp_path / "two.safetensors")
    assert again.fingerprint("text_encoders") == model.fingerprint("text_encoders")
