from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_layers, lora_parameters
from sdtune.adapters.lora.arithmetic import take_pairs
from sdtune.adapters.lora_tools import extract_lora, merge_loras, resize_lora
from sdtune.adapters.whole_model import merge_into_base, write_whole_model
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import StableDiffusion


@torch.no_grad()
def _save(base: StableDiffusion, folder: Path, seed: int, rank: int, **settings) -> Path:
    model = copy.deepcopy(base)
    add_lora(model, rank=rank, alpha=0.75, **settings)
    generator = torch.Generator().manual_seed(seed)
    for parameter in lora_parameters(model):
        parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    AdapterSet(LoRAAdapter.from_model(model)).save(folder)
    return folder


@pytest.fixture(scope="module")
def loras(base, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One of attention and text encoder, and one of convolutions too."""
    folder = tmp_path_factory.mktemp("loras")
    return (
        _save(base, folder / "a", 0, 3, text_encoder=True),
        _save(base, folder / "b", 1, 2, target_modules=["to_q", "conv1", "conv_shortcut"]),
    )


def _updates(model: StableDiffusion) -> dict[str, torch.Tensor]:
    return {
        f"{part}.{name}": up.flatten(1) @ down.flatten(1)
        for part, pairs in take_pairs(model).items()
        for name, (down, up) in pairs.items()
    }


def _of(base: StableDiffusion, path: Path) -> dict[str, torch.Tensor]:
    from sdtune.adapters.pipeline import load_adapter

    model = copy.deepcopy(base)
    load_adapter(model, path)
    return _updates(model)


@pytest.mark.slow
def test_the_sum_is_exact(loras, base, micro_sd: Path, tmp_path: Path) -> None:
    adapters, model, left = merge_loras(micro_sd, loras, [0.5, -2.0])
    assert left is None
    found, (first, second) = _updates(model), (_of(base, each) for each in loras)
    assert found.keys() == first.keys() | second.keys()
    for name, update in found.items():
        expected = 0.5 * first.get(name, 0) - 2.0 * second.get(name, 0)
        torch.testing.assert_close(update, expected)
    path = adapters.save(tmp_path)
    adapters.verify(path, model)
    again = _of(base, tmp_path / "kohya_lora.safetensors")
    for name, update in found.items():
        torch.testing.assert_close(again[name], update)


@pytest.mark.slow
def test_a_sum_of_a_rank_is_the_nearest_of_it(loras, base, micro_sd: Path) -> None:
    exact = _updates(merge_loras(micro_sd, loras)[1])
    _, model, left = merge_loras(micro_sd, loras, rank=2)
    found = _updates(model)
    assert left is not None
    assert left.ranks == {2: len(found)}
    lost = sum((found[name] - exact[name]).square().sum() for name in found)
    whole = sum(each.square().sum() for each in exact.values())
    assert left.share == pytest.approx(1 - (lost / whole).item(), rel=1e-4)
    assert 0 < left.least < left.share < 1
    name = left.module
    share = 1 - (found[name] - exact[name]).square().sum() / exact[name].square().sum()
    assert left.least == pytest.approx(share.item(), rel=1e-4)


@pytest.mark.slow
def test_a_lora_is_resized_to_a_rank_or_a_share(
    loras, base, micro_sd: Path, tmp_path: Path
) -> None:
    exact = _of(base, loras[0])
    adapters, model, left = resize_lora(micro_sd, loras[0], rank=3)
    assert left is not None
    assert left.share == pytest.approx(1.0)
    for name, update in _updates(model).items():
        torch.testing.assert_close(update, exact[name])
    adapters, model, left = resize_lora(micro_sd, loras[0], share=0.9)
    assert left is not None
    assert left.least >= 0.9
    assert len(left.ranks) > 1  # each module has its own
    adapters.verify(adapters.save(tmp_path), model)
    for file in ("pytorch_lora_weights.safetensors", "kohya_lora.safetensors"):
        for name, update in _of(base, tmp_path / file).items():
            torch.testing.assert_close(update, _updates(model)[name])
    for arguments in ({}, {"rank": 0}, {"share": 0.0}, {"share": 1.5}):
        with pytest.raises(ValueError, match=r"Expected `(rank|share)`"):
            resize_lora(micro_sd, loras[0], **arguments)


@pytest.mark.slow
def test_what_was_merged_into_a_base_is_extracted_again(
    loras, base, micro_sd: Path, tmp_path: Path
) -> None:
    write_whole_model(merge_into_base(micro_sd, [loras[0]]), micro_sd, tmp_path / "tuned")
    adapters, model, left = extract_lora(micro_sd, tmp_path / "tuned", rank=3)
    assert left is not None
    assert left.share == pytest.approx(1.0, abs=1e-4)
    exact = _of(base, loras[0])
    found = _updates(model)
    assert found.keys() == exact.keys()
    for name, update in found.items():
        torch.testing.assert_close(update, exact[name], rtol=1e-3, atol=1e-4)
    adapters.verify(adapters.save(tmp_path / "lora"), model)
    with pytest.raises(ValueError, match=r"to differ from .* in what a LoRA can tune"):
        extract_lora(micro_sd, micro_sd, rank=3)


def test_what_a_lora_cannot_hold_is_told(base, micro_sd: Path, tmp_path: Path) -> None:
    tuned = copy.deepcopy(base)
    with torch.no_grad():
        tuned.unet.conv_norm_out.bias += 1
        tuned.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight[0, 0] += 1
    tuned.pipeline().save_pretrained(tmp_path / "tuned")
    _, model, left = extract_lora(micro_sd, tmp_path / "tuned", rank=1)
    assert left is not None
    assert len(lora_layers(model)) == 1
    assert left.share == pytest.approx(1 / (1 + len(tuned.unet.conv_norm_out.bias)), rel=1e-3)
    assert left.module == "unet.conv_norm_out.bias"


def test_a_dora_is_extracted_and_not_merged(base, micro_sd: Path, tmp_path: Path) -> None:
    dora = _save(base, tmp_path / "dora", 0, 2, use_dora=True)
    with pytest.raises(ValueError, match="but it is a DoRA, which is no product of two matrices"):
        resize_lora(micro_sd, dora, rank=1)
    _, model, left = extract_lora(micro_sd, dora, share=0.5)
    assert left is not None
    assert left.least >= 0.5
    assert len(lora_layers(model)) == 16


@pytest.mark.slow
def test_words_go_with_a_merged_lora_and_must_differ(
    base, loras, micro_sd: Path, tmp_path: Path
) -> None:
    model = copy.deepcopy(base)
    add_token_embedding(model, "<erica>", "c")
    add_lora(model, rank=2, alpha=2.0)
    word = TokenEmbeddingAdapter.from_model(model)
    AdapterSet(word, LoRAAdapter.from_model(model)).save(tmp_path / "pivotal")
    adapters, merged, _ = merge_loras(micro_sd, [tmp_path / "pivotal", loras[0]])
    adapters.verify(adapters.save(tmp_path / "both"), merged)
    assert (tmp_path / "both" / "learned_embeds.safetensors").is_file()
    with pytest.raises(ValueError, match="adapters of different words, but `<erica>` is in more"):
        merge_loras(micro_sd, [tmp_path / "pivotal"] * 2)
    with pytest.raises(ValueError, match="to be a LoRA, but it is learned words alone"):
        merge_loras(micro_sd, [tmp_path / "pivotal" / "learned_embeds.safetensors"])
