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
    before = loading._load_pipeline.load
    bases = LoadedBases(lambda found: bases.loads.append(found) or before(found))
    bases.loads = []
    monkeypatch.setattr(loading, "_load_pipeline", bases)
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


def test_a_folder_that_changed_is_loaded_again(micro_sd: Path, bases: LoadedBases) -> None:
    for _ in range(3):
        load(micro_sd)
    assert len(bases.loads) == 2
    os.utime(micro_sd / "unet" / "config.json")
    load(micro_sd)
    assert len(bases.loads) == 3
