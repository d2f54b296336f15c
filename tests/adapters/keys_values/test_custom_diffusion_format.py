from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values import (
    CrossAttentionAdapter,
    add_tuned_projections,
    tuned_projections,
)
from sdtune.adapters.keys_values.custom_diffusion_format import CustomDiffusionFormat
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.models import StableDiffusion

FORMAT = CustomDiffusionFormat()


@pytest.fixture
def tuned(model: StableDiffusion) -> StableDiffusion:
    add_tuned_projections(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for layer in tuned_projections(model).values():
            layer.weight += 0.3 * torch.randn(layer.weight.shape, generator=generator)
    return model


def test_what_was_saved_loads_back_exactly(tuned, base, predict, tmp_path: Path) -> None:
    adapter = AdapterSet(CrossAttentionAdapter.from_model(tuned))
    path = adapter.save(tmp_path, {"sdtune.steps": "3"})
    adapter.verify(path, tuned)
    fresh = copy.deepcopy(base)
    FORMAT.load(fresh, path)
    assert not any(parameter.requires_grad for parameter in fresh.parameters())
    assert torch.equal(predict(fresh), predict(tuned))
    assert not torch.allclose(predict(base), predict(tuned), atol=1e-2)


def test_the_layout_is_that_of_diffusers(tuned, tmp_path: Path) -> None:
    tensors = load_file(AdapterSet(CrossAttentionAdapter.from_model(tuned)).save(tmp_path))
    block = "mid_block.attentions.0.transformer_blocks.0"
    assert tensors[f"{block}.attn2.processor.to_k_custom_diffusion.weight"].shape == (8, 16)
    assert tensors[f"{block}.attn1.processor"].numel() == 0
    names = {key.split(".processor")[0] + ".processor" for key in tensors}
    assert names == set(tuned.unet.attn_processors)


def test_another_file_is_refused_by_verification(tuned, tmp_path: Path) -> None:
    path = AdapterSet(CrossAttentionAdapter.from_model(tuned)).save(tmp_path)
    name, layer = next(iter(tuned_projections(tuned).items()))
    layer.weight.data[0, 0] += 1e-6
    with pytest.raises(AdapterVerificationError, match=f"but 1 differ; the first is `{name}`"):
        AdapterSet(CrossAttentionAdapter.from_model(tuned)).verify(path, tuned)


def test_a_file_for_another_unet_is_refused(tuned, base, tmp_path: Path) -> None:
    path = tmp_path / FORMAT.file_name
    key = (
        "mid_block.attentions.0.transformer_blocks.0.attn2.processor.to_{}_custom_diffusion.weight"
    )
    save_file({key.format("k"): torch.zeros(8, 768)}, path)
    with pytest.raises(ValueError, match=r"\(8, 768\) and the UNet's \(8, 16\): give the base"):
        FORMAT.load(copy.deepcopy(base), path)
    save_file({key.format("q"): torch.zeros(8, 8)}, path)
    with pytest.raises(ValueError, match=r"it holds `.*to_q_custom_diffusion.weight`: queries"):
        FORMAT.load(copy.deepcopy(base), path)
