from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.inspection import inspect_adapter
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.words import TokenEmbeddingAdapter, add_token_embedding
from sdtune.models import StableDiffusion, load


@pytest.fixture(scope="module")
def base(tiny_sd: Path) -> StableDiffusion:
    """Of as many layers as Stable Diffusion 1, which are counted."""
    return load(tiny_sd)


@pytest.fixture
def saved(sd1_model, tmp_path: Path) -> Path:
    model = sd1_model
    add_token_embedding(model, "<erica>", "c")
    add_lora(model, rank=3, alpha=0.75, target_modules=["to_q", "to_k", "fc1"], text_encoder=True)
    adapters = AdapterSet(TokenEmbeddingAdapter.from_model(model), LoRAAdapter.from_model(model))
    adapters.save(tmp_path, {"sdtune.steps": "200"})
    return tmp_path


def test_every_file_of_an_adapter_is_told(saved: Path) -> None:
    words, lora = inspect_adapter(saved)
    assert (words.kind, words.layout, words.words) == (
        "learned words",
        "textual inversion",
        ["<erica>"],
    )
    assert (lora.kind, lora.layout, lora.dtypes) == ("LoRA", "diffusers", ["float32"])
    assert lora.record["sdtune.steps"] == "200"
    assert sum(each.count for each in lora.layers) == 32 + 32 + 12 == lora.tensors // 2
    content = (saved / "pytorch_lora_weights.safetensors").read_bytes()
    assert lora.hashes["sha256"] == sha256(content).hexdigest()
    start = 8 + int.from_bytes(content[:8], "little")
    assert lora.hashes["sshs_model_hash"] == sha256(content[start:]).hexdigest()


@pytest.mark.parametrize("name", ["kohya_lora.safetensors", "peft"])
def test_rank_and_alpha_are_the_same_in_every_layout(saved: Path, name: str) -> None:
    _, file = inspect_adapter(saved / name)  # the word's stands beside it
    assert {(each.kind, each.rank, each.alpha) for each in file.layers} == {("LoRA", 3, 0.75)}
    counts = dict.fromkeys(("unet", "text_encoder"), 0)
    for each in file.layers:
        counts[each.part] += each.count
    assert counts == {"unet": 64, "text_encoder": 12}
    assert len(file.layers) <= 8


def _kohya(names: list[str], width: int = 768) -> dict[str, torch.Tensor]:
    tensors = {}
    for name in names:
        tensors[f"{name}.lora_down.weight"] = torch.zeros(4, width)
        tensors[f"{name}.lora_up.weight"] = torch.zeros(8, 4)
        tensors[f"{name}.alpha"] = torch.tensor(2.0)
    return tensors


def test_modules_that_are_alike_are_one_line(tmp_path: Path) -> None:
    block = "lora_unet_down_blocks_{}_attentions_{}_transformer_blocks_0_attn2_to_{}"
    names = [block.format(i, j, end) for i in range(3) for j in range(2) for end in ("k", "v")]
    save_file(_kohya(names), tmp_path / "a.safetensors")
    [file] = inspect_adapter(tmp_path / "a.safetensors")
    [group] = file.layers
    assert group.names == "down_blocks_*_attentions_*_transformer_blocks_*_attn2_{to_k, to_v}"
    assert (group.count, group.rank, group.alpha) == (12, 4, 2.0)
    assert file.family == "Stable Diffusion 1"


@pytest.mark.parametrize(
    ("metadata", "width", "family"),
    [
        ({}, 2048, "Stable Diffusion XL"),
        ({"ss_base_model_version": "sd_v2_v"}, 2048, "Stable Diffusion 2 (v-prediction)"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, 1, "Stable Diffusion XL"),
        ({}, 32, "a base whose UNet attends to a width of 32"),
    ],
)
def test_the_base_is_what_the_header_says_or_the_widths_show(
    tmp_path: Path, metadata: dict[str, str], width: int, family: str
) -> None:
    tensors = _kohya(["lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"], width)
    save_file(tensors, tmp_path / "a.safetensors", metadata)
    assert inspect_adapter(tmp_path / "a.safetensors")[0].family == family


def test_words_are_what_stands_in_every_caption(tmp_path: Path) -> None:
    tags = '{"10_cat": {"erica": 20, "a cat": 7}, "5_dog": {"erica": 3}}'
    path = tmp_path / "a.safetensors"
    save_file(_kohya(["lora_unet_mid_block_x"]), path, {"ss_tag_frequency": tags})
    assert inspect_adapter(path)[0].words == ["erica"]
    header = {"ss_tag_frequency": "no JSON", "sshs_model_hash": "0"}
    save_file(_kohya(["lora_unet_mid_block_x"]), path, header)
    [file] = inspect_adapter(path)
    assert file.words == []
    assert "it was changed" in " ".join(file.notes)


def test_what_is_no_safetensors_file_has_no_hash_of_tensors(tmp_path):
    for name, content in {"empty": b"", "garbage": b"garbage, and no header"}.items():
        path = tmp_path / f"{name}.safetensors"
        path.write_bytes(content)
        hashes = inspect_adapter(path)[0].hashes
        assert hashes["sha256"] == sha256(content).hexdigest()
        assert "sshs_model_hash" not in hashes


def test_what_is_no_adapter_is_told(micro_sd: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it is a whole model in diffusers' layout: give it as a"):
        inspect_adapter(micro_sd)
    save_file(
        {f"double_blocks.0.img_attn.norm.{name}": torch.zeros(4) for name in ("a", "b")},
        tmp_path / "f.safetensors",
    )
    [file] = inspect_adapter(tmp_path / "f.safetensors")
    assert (file.kind, file.family) == ("", "Flux")
    assert "no adapter in a layout that sdtune reads" in file.notes[0]
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    [file] = inspect_adapter(tmp_path / "b.safetensors")
    assert file.tensors == 0
    with pytest.raises(FileNotFoundError, match="Expected an adapter at"):
        inspect_adapter(tmp_path / "nowhere")


def test_pickles_and_broken_numbers_are_told(tmp_path: Path) -> None:
    torch.save(_kohya(["lora_unet_mid_block_x"]), tmp_path / "k.pt")
    [file] = inspect_adapter(tmp_path / "k.pt")
    assert (file.layout, file.layers[0].rank, file.layers[0].alpha) == ("kohya", 4, 2.0)
    torch.save({"string_to_param": {"*": torch.zeros(2, 768)}, "name": "ben"}, tmp_path / "b.pt")
    [file] = inspect_adapter(tmp_path / "b.pt")
    assert (file.kind, file.words, file.family) == ("learned words", ["ben"], "Stable Diffusion 1")
    save_file({"<erica>": torch.full((2, 768), float("nan"))}, tmp_path / "n.safetensors")
    [file] = inspect_adapter(tmp_path / "n.safetensors")
    assert "to be finite, but `<erica>` holds some that are not" in file.notes[0]


def test_ranks_are_inner_sides_whatever_the_product(tmp_path: Path) -> None:
    block = "lora_unet_down_blocks_0_resnets_0_conv"
    factors = {f"hada_w{n}_{end}": (3, 16) for n in "12" for end in "ab"}
    shapes = {f"{block}1.{key}": shape for key, shape in factors.items()}
    shapes |= {f"{block}1.hada_t{n}": (3, 3, 3, 3) for n in "12"}
    save_file({key: torch.ones(shape) for key, shape in shapes.items()}, tmp_path / "a.safetensors")
    [told] = inspect_adapter(tmp_path / "a.safetensors")
    assert [(each.kind, each.rank, each.alpha) for each in told.layers] == [("LoHa", 3, 3.0)]
    shapes = {f"{block}2.lokr_w1_a": (2, 5), f"{block}2.lokr_w1_b": (5, 2)}
    shapes |= {f"{block}2.lokr_w2": (8, 8, 3, 3)}
    save_file({key: torch.ones(shape) for key, shape in shapes.items()}, tmp_path / "b.safetensors")
    [told] = inspect_adapter(tmp_path / "b.safetensors")
    assert [(each.kind, each.rank) for each in told.layers] == [("LoKr", 5)]
