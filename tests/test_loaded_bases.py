"""Bases from memory are those from files, and no test sees what another did to its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from sdtune.models import StableDiffusion, load, loading
from tests.loaded_bases import LoadedBases


@pytest.fixture
def bases(monkeypatch: pytest.MonkeyPatch) -> LoadedBases:
    """A memory that counts what was loaded from files, in `loads`."""
    before = loading._load_model.load
    bases = LoadedBases(lambda *base: bases.loads.append(base) or before(*base))
    bases.loads = []
    monkeypatch.setattr(loading, "_load_model", bases)
    return bases


def facts(model: StableDiffusion) -> list[tuple[object, ...]]:
    modules = [(name, type(each), each.training) for name, each in model.named_modules()]
    weights = [(name, each.requires_grad, each.dtype) for name, each in model.named_parameters()]
    return [*modules, *weights]


@pytest.mark.parametrize("base", ["micro_sd", "nano"])
def test_a_copy_is_what_was_loaded_and_its_own(base, request, bases):
    folder = base if base == "nano" else request.getfixturevalue(base)
    first, _, third = load(folder), load(folder), load(folder)
    assert len(bases.loads) == 2
    assert facts(third) == facts(first)
    weights, copied = first.state_dict(), third.state_dict()
    assert copied.keys() == weights.keys()
    assert all(torch.equal(copied[name], weights[name]) for name in weights)
    assert third.unet.config == first.unet.config
    assert third.settings == first.settings
    assert third.noise_scheduler.config == first.noise_scheduler.config
    for tokenizer, copy in zip(first.tokenizers, third.tokenizers, strict=True):
        ids = tokenizer("xx, yy").input_ids
        assert copy("xx, yy").input_ids == ids
        assert copy.decode(ids) == tokenizer.decode(ids)
    third.unet.requires_grad_(True)
    with torch.no_grad():
        third.unet.conv_in.weight.add_(1)
    third.tokenizers[0].add_tokens("<mine>")
    again = load(folder)
    assert facts(again) == facts(first)
    assert torch.equal(again.unet.conv_in.weight, first.unet.conv_in.weight)
    assert len(again.tokenizers[0]) == len(first.tokenizers[0])
    assert len(bases.loads) == 2


def test_a_copy_computes_the_same_in_half_precision(micro_sd: Path, bases: LoadedBases) -> None:
    """Its norms are given a method of their own, see `models/half_norms.py`."""
    first, _, third = (load(micro_sd, torch.bfloat16) for _ in range(3))
    assert len(bases.loads) == 2
    latents = torch.zeros(1, 4, 8, 8, dtype=torch.bfloat16)
    conditioning = first.encode_prompts(["a"])
    expected = first(latents, torch.tensor(1), conditioning)
    assert third(latents, torch.tensor(1), conditioning).equal(expected)
    assert load(micro_sd).dtype == torch.float32


def test_a_folder_that_changed_is_loaded_again(micro_sd: Path, bases: LoadedBases) -> None:
    for _ in range(3):
        load(micro_sd)
    assert len(bases.loads) == 2
    os.utime(micro_sd / "unet" / "config.json")
    load(micro_sd)
    assert len(bases.loads) == 3
