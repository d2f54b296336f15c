from __future__ import annotations

import copy
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values import (
    CrossAttentionAdapter,
    add_tuned_projections,
    tuned_projections,
)
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_parameters
from sdtune.adapters.lora.settings import TargetModules
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.whole_unet import TunedUNet
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import StableDiffusion, load


@pytest.fixture(scope="session")
def base(micro_sd: Path) -> StableDiffusion:
    """A loaded model with a block of each kind, which no test changes."""
    return load(micro_sd)


@pytest.fixture
def model(micro_sd: Path) -> StableDiffusion:
    """A model of the test's own."""
    return load(micro_sd)


@pytest.fixture
def sd1_model(tiny_sd: Path) -> StableDiffusion:
    """A model with as many layers as Stable Diffusion 1, by the names that it has there."""
    return load(tiny_sd)


@pytest.fixture
def train():
    """Return a function that moves every adapter parameter, as training would."""

    @torch.no_grad()
    def move(model: StableDiffusion, scale: float = 0.1) -> None:
        generator = torch.Generator().manual_seed(0)
        for parameter in lora_parameters(model):
            parameter += scale * torch.randn(parameter.shape, generator=generator)

    return move


@pytest.fixture
def predict():
    """Return a function that predicts from fixed noise for a fixed prompt."""

    @torch.no_grad()
    def prediction(model: StableDiffusion, side: int = 16) -> torch.Tensor:
        noise = torch.randn(2, 4, side, side, generator=torch.Generator().manual_seed(1))
        conditioning = model.encode_prompts(["a cat", "a turtle on a dotted background"])
        return model(noise.to(model.dtype), torch.tensor([100, 700]), conditioning)

    return prediction


@pytest.fixture(scope="session")
def _trained(base: StableDiffusion, tmp_path_factory: pytest.TempPathFactory):
    """Return a function that makes a trained adapter once: its folder and the model."""

    @cache
    @torch.no_grad()
    def make(
        kind: str, seed: int, target_modules: TargetModules | tuple[str, ...]
    ) -> tuple[Path, StableDiffusion]:
        model = copy.deepcopy(base)
        noise = torch.Generator().manual_seed(seed)
        if kind == "keys and values":
            add_tuned_projections(model)
            for layer in tuned_projections(model).values():
                layer.weight += 0.1 * torch.randn(layer.weight.shape, generator=noise)
            adapter = CrossAttentionAdapter.from_model(model)
        elif kind == "whole UNet":
            for weight in model.unet.parameters():
                weight += 0.02 * torch.randn(weight.shape, generator=noise)
            adapter = TunedUNet.from_model(model)
        elif kind == "word":
            [rows] = add_token_embedding(model, f"<word{seed}>", "a")
            rows += torch.randn(rows.shape, generator=noise)
            adapter = TokenEmbeddingAdapter.from_model(model)
        else:
            kinds = {"LoHa": "loha", "LoKr": "lokr"}
            add_lora(
                model,
                rank=2,
                alpha=4,
                target_modules=(
                    target_modules if isinstance(target_modules, str) else [*target_modules]
                ),
                use_dora=kind == "DoRA",
                text_encoder=kind == "LoRA",
                adapter_type=kinds.get(kind, "lora"),
                seed=seed,
            )
            for parameter in lora_parameters(model):
                parameter += 0.1 * torch.randn(parameter.shape, generator=noise)
            adapter = LoRAAdapter.from_model(model)
        folder = tmp_path_factory.mktemp(f"{kind}_{seed}")
        AdapterSet(adapter).save(folder)
        return folder, model

    return make


@pytest.fixture
def tuned(_trained, tmp_path: Path):
    """Return a function that gives a trained adapter: files of the test's own, and the model.

    Other tests are given the same model, so none changes it.
    """

    def give(
        kind: str,
        seed: int = 0,
        target_modules: TargetModules | tuple[str, ...] = "attention",
    ) -> tuple[list[Path], StableDiffusion]:
        made, model = _trained(kind, seed, target_modules)
        folder = tmp_path / f"{kind}_{seed}"
        shutil.copytree(made, folder, dirs_exist_ok=True)
        return find_adapter_files(folder), model

    return give
