import ast
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.report.usage import describe_use

PROMPT = 'a <erica> "cat"'


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lora, word = tmp_path / "pytorch_lora_weights.safetensors", tmp_path / "learned.safetensors"
    unet = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    unet.parent.mkdir()
    (unet.parent / "config.json").write_text(json.dumps({}))
    two = {"unet.a.lora.down.weight": torch.zeros(2, 2), "unet.a.lora.up.weight": torch.zeros(2, 2)}
    save_file(two, lora)
    save_file(two, unet)
    save_file({"<erica>": torch.zeros(1, 4)}, word)
    other, keys = tmp_path / "other.safetensors", tmp_path / "keys.safetensors"
    save_file({"<hazel>": torch.zeros(1, 4)}, other)
    names = [f"a.attn2.processor.to_{each}_custom_diffusion.weight" for each in "kv"]
    save_file({name: torch.zeros(2, 2) for name in names}, keys)
    return {
        "lora": [lora],
        "word": [word],
        "both": [word, lora],
        "unet": [unet],
        "words": [word, other, lora],
        "keys": [word, other, keys],
    }


@pytest.mark.parametrize(
    ("kind", "diffusers", "elsewhere"),
    [
        ("lora", ["load_lora_weights"], ["models/Lora/mine.safetensors", "<lora:mine:1>"]),
        ("word", ["load_textual_inversion"], ["embeddings/erica.safetensors", "embedding:erica"]),
        (
            "both",
            ["load_textual_inversion", "load_lora_weights"],
            ["models/Lora/mine.safetensors", 'prompt: a erica "cat" <lora:mine:1>'],
        ),
        ("unet", ["UNet2DConditionModel.from_pretrained"], ["models/diffusion_models/"]),
        (
            "words",
            ["load_textual_inversion", "load_lora_weights"],
            ["embeddings/erica.safetensors", "embeddings/hazel.safetensors", "<lora:mine:1>"],
        ),
        ("keys", ["load_textual_inversion", "load_attn_procs"], []),
    ],
)
@pytest.mark.parametrize("base", ["nano", "CompVis/stable-diffusion-v1-4", "sd.safetensors"])
def test_each_kind_is_used_in_its_own_way(files, kind, diffusers, elsewhere, base):
    first, second, third = describe_use(base, files[kind], PROMPT, "mine")
    for snippet in (first, third):
        ast.parse(snippet.text)
        assert json.dumps(PROMPT) in snippet.text
    loaders = {"load_lora_weights", "load_textual_inversion", "load_attn_procs", "UNet2D"}
    for part in loaders:
        assert (part in first.text) == any(part in each for each in diffusers)
    words = [
        path for path in files[kind] if path.name in ("learned.safetensors", "other.safetensors")
    ]
    assert first.text.count("load_textual_inversion") == len(words)
    loader = {"nano": 'load("nano")', "sd.safetensors": "from_single_file"}.get(base, "from_pre")
    assert loader in first.text
    if base == "nano":
        assert (second.text, "do not know nano" in second.note) == ("", True)
    else:
        assert all(part in second.text for part in elsewhere)


def test_the_file_made_for_a1111_is_taken_where_there_is_one(files, tmp_path):
    record = {"sdtune.steps": "7"}
    save_file(load_file(files["lora"][0]), files["lora"][0], record)
    save_file({"a": torch.zeros(1)}, tmp_path / "kohya_lora.safetensors", record)
    _, elsewhere, _ = describe_use("some/base", files["lora"], PROMPT, "mine")
    assert "cp kohya_lora.safetensors stable-diffusion-webui/models/Lora/mine.safetensors" in (
        elsewhere.text
    )


@pytest.mark.parametrize(
    ("name", "shape", "pipeline"),
    [
        ("unet.a.attn2.to_k.lora_A.weight", (4, 2048), "StableDiffusionXLPipeline"),
        ("unet.a.attn2.to_k.lora_A.weight", (4, 768), "StableDiffusionPipeline"),
        ("a.attn2.processor.to_k_custom_diffusion.weight", (640, 2048), "StableDiffusionXLPipe"),
        ("clip_g", (1, 1280), "StableDiffusionXLPipeline"),
    ],
)
def test_a_single_file_is_read_by_the_pipeline_of_its_family(tmp_path, name, shape, pipeline):
    path = tmp_path / "adapter.safetensors"
    twin = {"clip_g": "clip_l"}.get(
        name, name.replace("lora_A", "lora_B").replace("to_k_", "to_v_")
    )
    save_file({name: torch.zeros(shape), twin: torch.zeros(shape)}, path)
    text = describe_use("base.safetensors", [path], PROMPT, "mine")[0].text
    assert f"from diffusers import {pipeline}" in text
    assert "from diffusers import DiffusionPipeline" in (
        describe_use("some/base", [path], PROMPT, "mine")[0].text
    )
