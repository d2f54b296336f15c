"""Merging: each word is read as by its own adapter, and everything else as nearly as can be."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values import (
    TARGET_MODULES,
    CrossAttentionAdapter,
    add_tuned_projections,
)
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.lora.settings import TargetModules
from sdtune.adapters.merging import merge_adapters
from sdtune.adapters.pipeline import load_pipeline
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import StableDiffusion, load
from sdtune.models.fingerprint import fingerprint

TEXTS = [f"a {thing} on a {ground}" for thing in ("cat", "dog", "jug") for ground in ("box", "mat")]


@pytest.fixture(scope="module")
def base(tiny_sd: Path) -> StableDiffusion:
    """Layers enough for two words to be told apart in."""
    return load(tiny_sd)


def _save(
    base: StableDiffusion,
    folder: Path,
    word: str,
    seed: int,
    targets: TargetModules | list[str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Save a word with keys and values, or with a LoRA on modules, all moved at random."""
    model = copy.deepcopy(base)
    add_token_embedding(model, word, "c")
    if targets is None:
        add_tuned_projections(model)
    else:
        add_lora(model, rank=4, alpha=4.0, target_modules=targets)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    words = [TokenEmbeddingAdapter.from_model(model, word)]
    make = CrossAttentionAdapter if targets is None else LoRAAdapter
    AdapterSet(*words, make.from_model(model)).save(folder, metadata)
    return folder


@pytest.fixture(scope="module")
def saved(base: StableDiffusion, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An adapter of keys and values in full, and one of a LoRA on them."""
    folder = tmp_path_factory.mktemp("adapters")
    # the second's is as it was taken once, of a base that was cast to the run's precision
    hashes = (base.fingerprint("unet"), fingerprint(base.unet, torch.bfloat16))
    one, two = ({"sdtune.base_unet_sha256": each} for each in hashes)
    return (
        _save(base, folder / "full", "<one>", 0, metadata=one),
        _save(base, folder / "lora", "<two>", 1, list(TARGET_MODULES), metadata=two),
    )


@torch.no_grad()
def _read_by(base: Path, adapter: Path | None, text: str, word: str | None = None) -> Tensor:
    """What all keys and values make of a text, from a word on: (tokens, sum of widths)."""
    pipeline = load_pipeline(base, adapter)
    hidden = pipeline.encode_prompt(
        prompt=text, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False
    )[0]
    ids = pipeline.tokenizer(text).input_ids
    first = ids.index(pipeline.tokenizer.convert_tokens_to_ids(word)) if word else 0
    modules = pipeline.unet.named_modules()
    outputs = [each(hidden[0]) for name, each in modules if name.endswith(TARGET_MODULES)]
    return torch.cat(outputs, dim=-1)[first : len(ids)]


@pytest.mark.slow
def test_every_word_is_read_as_by_its_own_adapter(
    saved: tuple[Path, Path], tiny_sd: Path, tmp_path: Path
) -> None:
    _assert_each_word_is_read_as_by_its_own(saved, tiny_sd, tmp_path)


@pytest.mark.slow
def test_words_of_two_text_encoders_are_merged_too(tiny_xl: Path, tmp_path: Path) -> None:
    base = load(tiny_xl)
    saved = (
        _save(base, tmp_path / "full", "<one>", 0),
        _save(base, tmp_path / "lora", "<two>", 1, list(TARGET_MODULES)),
    )
    _assert_each_word_is_read_as_by_its_own(saved, tiny_xl, tmp_path)


def _assert_each_word_is_read_as_by_its_own(
    saved: tuple[Path, Path], base: Path, tmp_path: Path
) -> None:
    adapter, model = merge_adapters(base, saved, TEXTS)
    path = adapter.save(tmp_path / "merged")
    adapter.verify(path, model)
    for own, word in zip(saved, ("<one>", "<two>"), strict=True):
        arguments = (f"a picture of a {word}", word)
        expected = _read_by(base, own, *arguments)
        merged = _read_by(base, path, *arguments)
        torch.testing.assert_close(merged, expected, rtol=1e-3, atol=1e-3)
    kept = _read_by(base, None, TEXTS[0])
    changes = [(_read_by(base, each, TEXTS[0]) - kept).norm() for each in (path, *saved)]
    assert changes[0] < max(changes[1:])


@pytest.mark.slow
def test_what_cannot_be_merged_is_refused(
    saved: tuple[Path, Path], base: StableDiffusion, tiny_sd: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="Expected two adapters or more to merge, but got 1"):
        merge_adapters(tiny_sd, saved[:1], TEXTS)
    with pytest.raises(ValueError, match="Expected adapters of different words, but `<one>` is in"):
        merge_adapters(tiny_sd, [saved[0], saved[0]], TEXTS)
    word = saved[0] / "learned_embeds.safetensors"
    with pytest.raises(ValueError, match=r"to be learned words with keys and values.* but got lea"):
        merge_adapters(tiny_sd, [word, saved[1]], TEXTS)
    attention = _save(base, tmp_path / "attention", "<three>", 2, "attention")
    with pytest.raises(ValueError, match=r"and values alone, but it also changes `.*attn1.to_q`"):
        merge_adapters(tiny_sd, [saved[1], attention], TEXTS)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"sdtune.base_unet_sha256": "0"}, "names another base"),
        ({"sdtune.clip_skip": "2"}, "`clip_skip` 2: train it with 1"),
    ],
)
def test_an_adapter_of_another_base_is_refused(
    saved: tuple[Path, Path], base: StableDiffusion, tiny_sd: Path, tmp_path: Path, header, message
) -> None:
    other = _save(base, tmp_path, "<three>", 0, metadata=header)
    with pytest.raises(ValueError, match=message):
        merge_adapters(tiny_sd, [other, saved[0]], TEXTS)
