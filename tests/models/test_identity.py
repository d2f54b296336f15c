from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import CLIPTokenizer

from sdtune.adapters.lora import add_lora
from sdtune.adapters.words import add_token_embedding
from sdtune.models import StableDiffusion, load
from sdtune.models.fingerprint import tokenizer_fingerprint
from sdtune.models.identity import identity
from sdtune.models.quantization import Quantization, quantize_base, quantized_layers
from sdtune.models.shipped import shipped_folder, shipped_tokenizer
from sdtune.models.stable_diffusion import Part
from tests.models.original_layout import original_state_dict

PARTS: tuple[Part | None, ...] = (None, "unet", "vae", "text_encoders")


def identities(model: StableDiffusion) -> dict[Part | None, str]:
    return {part: identity(model, part) for part in PARTS}


def differing(model: StableDiffusion, other: StableDiffusion) -> set[Part | None]:
    before, after = identities(model), identities(other)
    return {part for part in PARTS if before[part] != after[part]}


def with_setting(base: Path, folder: Path, file: str, key: str, value: object) -> StableDiffusion:
    """Load a copy of a base whose weights are the same."""
    shutil.copytree(base, folder)
    path = folder / file
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {key: value}))
    return load(folder)


@pytest.mark.parametrize(
    ("file", "key", "value", "parts"),
    [
        ("unet/config.json", "freq_shift", 1, {None, "unet"}),
        ("vae/config.json", "scaling_factor", 0.5, {None, "vae"}),
        ("vae/config.json", "norm_num_groups", 1, {None, "vae"}),
        ("text_encoder/config.json", "hidden_act", "gelu", {None, "text_encoders"}),
        ("tokenizer/tokenizer_config.json", "pad_token", "!", {None, "text_encoders"}),
        ("tokenizer/tokenizer_config.json", "model_max_length", 20, {None, "text_encoders"}),
        ("scheduler/scheduler_config.json", "beta_end", 0.02, {None}),
        # what says where a copy is from
        ("unet/config.json", "_diffusers_version", "0.30.0", set()),
        ("vae/config.json", "_name_or_path", "elsewhere", set()),
        ("vae/config.json", "sample_size", 256, set()),
        ("text_encoder/config.json", "transformers_version", "4.21.0", set()),
        ("text_encoder/config.json", "torch_dtype", "float16", set()),
        ("text_encoder/config.json", "architectures", ["CLIPModel"], set()),
    ],
)
def test_what_a_part_computes_with_belongs_to_it(
    file: str,
    key: str,
    value: object,
    parts: set[Part | None],
    micro_sd: Path,
    tmp_path: Path,
) -> None:
    model = load(micro_sd)
    other = with_setting(micro_sd, tmp_path / "copy", file, key, value)
    assert other.fingerprint("unet") == model.fingerprint("unet")
    assert differing(model, other) == parts


def test_settings_and_the_second_tokenizer_of_an_xl_count(tiny_xl: Path, tmp_path: Path) -> None:
    model, index = load(tiny_xl), "model_index.json"
    other = with_setting(tiny_xl, tmp_path / "a", index, "force_zeros_for_empty_prompt", False)
    assert differing(model, other) == {None}
    file = "tokenizer_2/tokenizer_config.json"
    other = with_setting(tiny_xl, tmp_path / "b", file, "pad_token", "<|endoftext|>")
    assert differing(model, other) == {None, "text_encoders"}


def test_each_part_is_quantised_by_itself(micro_sd: Path) -> None:
    model, unet, both, most, other = (load(micro_sd) for _ in range(5))
    quantize_base(unet, "nf4")
    quantize_base(both, "nf4", text_encoders=True)
    quantize_base(most, "nf4", whole=["attn2.to_k", "attn2.to_v"])
    quantize_base(other, "int8")
    assert differing(model, unet) == {None, "unet"}
    assert differing(model, both) == {None, "unet", "text_encoders"}
    assert differing(unet, both) == {None, "text_encoders"}
    assert differing(unet, most) == differing(unet, other) == {None, "unet"}


@pytest.mark.parametrize("quantization", [None, "nf4"])
def test_what_is_added_to_a_base_does_not_change_it(
    quantization: Quantization | None, micro_sd: Path
) -> None:
    model, tuned = load(micro_sd), load(micro_sd)
    for each in (model, tuned):
        if quantization is not None:
            quantize_base(each, quantization, text_encoders=True)
    add_lora(tuned, rank=1, alpha=1.0, text_encoder=True)
    add_token_embedding(tuned, "<it>", "a", 2)
    assert len(tuned.tokenizers[0]) > len(model.tokenizers[0])
    assert quantized_layers(tuned.unet) == quantized_layers(model.unet)
    assert differing(model, tuned) == set()


def test_the_type_of_the_weights_does_not_change_a_base(micro_sd: Path) -> None:
    assert differing(load(micro_sd), load(micro_sd, torch.bfloat16)) == set()


def test_a_folder_and_a_single_file_are_one_base(tiny_sd: Path, tmp_path: Path) -> None:
    model = load(tiny_sd)
    ignored = shutil.ignore_patterns("*.safetensors")
    shutil.copytree(tiny_sd, tmp_path / "tiny", ignore=ignored)
    save_file(original_state_dict(model), tmp_path / "tiny.safetensors")
    assert differing(model, load(tmp_path / "tiny.safetensors")) == set()


def test_the_vocabulary_that_comes_with_sdtune_is_one_from_files(tmp_path: Path) -> None:
    tokenizer = shipped_tokenizer(shipped_folder("stable_diffusion_1"), "tokenizer")
    tokenizer.save_pretrained(tmp_path)
    read = CLIPTokenizer.from_pretrained(tmp_path)
    names = [tokenizer_fingerprint(each, each.get_added_vocab()) for each in (tokenizer, read)]
    assert names[0] == names[1]
