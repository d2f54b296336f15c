"""Names and counts at the true size of each family, on modules that hold no values."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sdtune.adapters.lora import LoRAAdapter
from sdtune.adapters.lora.base_kind import BaseKind, guess_family
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.lora.layers import find_targets
from sdtune.adapters.lora.names import original_names
from sdtune.files import tensor_file
from tests.adapters import readers


def text_encoder(width, layers, *, projected=False):
    kind = CLIPTextModelWithProjection if projected else CLIPTextModel
    return kind(
        CLIPTextConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=layers,
            num_attention_heads=width // 64,
        )
    )


def sd1():
    unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)
    return BaseKind("sd_v1"), {"unet": unet, "text_encoder": text_encoder(768, 12)}


def sd2():
    unet = UNet2DConditionModel(
        sample_size=96,
        cross_attention_dim=1024,
        attention_head_dim=(5, 10, 20, 20),
        use_linear_projection=True,
    )
    kind = BaseKind("sd_v2_v", "v_prediction", 768)
    return kind, {"unet": unet, "text_encoder": text_encoder(1024, 23)}


def sdxl():
    unet = UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(320, 640, 1280),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        attention_head_dim=(5, 10, 20),
        cross_attention_dim=2048,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=256,
        projection_class_embeddings_input_dim=2816,
    )
    encoders = text_encoder(768, 12), text_encoder(1280, 32, projected=True)
    parts = {"unet": unet, "text_encoder": encoders[0], "text_encoder_2": encoders[1]}
    return BaseKind("sdxl_base_v1-0", "epsilon", 1024), parts


def adapter_of_rank_one(kind, parts):
    weights, configs = {}, {}
    for name, ends in find_targets(parts, "attention+feed_forward").items():
        weights[name] = {}
        configs[name] = LoraConfig(r=1, lora_alpha=1, target_modules=ends)
        for module, each in parts[name].named_modules():
            if module.endswith(tuple(f".{end}" for end in ends)):
                out, inner, *kernel = each.weight.shape
                weights[name][f"{module}.lora_A.weight"] = torch.ones(1, inner, *kernel)
                weights[name][f"{module}.lora_B.weight"] = torch.ones(out, 1, *kernel)
    unet = parts["unet"]
    layers = unet.config["layers_per_block"]
    names = original_names((name for name, _ in unet.named_modules()), layers)
    return LoRAAdapter(weights, configs, kind, names)


@pytest.mark.parametrize(
    ("family", "counts", "title"),
    [
        (sd1, {"lora_unet_": 192, "lora_te_": 72}, "Stable Diffusion 1"),
        (sd2, {"lora_unet_": 192, "lora_te_": 138}, "Stable Diffusion 2"),
        (sdxl, {"lora_unet_": 722, "lora_te1_": 72, "lora_te2_": 192}, "Stable Diffusion XL"),
    ],
)
def test_every_module_has_the_name_that_programs_know(family, counts, title, tmp_path, monkeypatch):
    with torch.device("meta"):
        kind, parts = family()
    adapter = adapter_of_rank_one(kind, parts)
    path = tmp_path / "lora.safetensors"
    KohyaFormat().write(adapter, path, {})
    header = tensor_file.read_header(path)
    modules = {key.partition(".")[0] for key in header.shapes}
    for prefix, count in counts.items():
        assert sum(module.startswith(prefix) for module in modules) == count
    assert len(modules) == sum(counts.values())
    assert len(header.shapes) == 3 * len(modules)
    assert header.metadata["ss_base_model_version"] == kind.version
    assert header.metadata["ss_v2"] == str(title.endswith("2"))
    assert guess_family(header.shapes) == title
    monkeypatch.setattr(readers, "_change", len)  # the product would be as large as the model
    model = SimpleNamespace(unet=parts["unet"], text_encoders=list(parts.values())[1:])
    tensors = tensor_file.read_tensors(path)
    for reader in (readers.a1111, readers.comfyui):
        found = reader(model, tensors)
        assert len(found) == len(modules)
        assert set(found.values()) == {3}
    updates = KohyaFormat().read(path, parts)
    assert {name: len(each) for name, each in updates.items()} == {
        name: len(each) // 2 for name, each in adapter.weights.items()
    }


def test_stable_diffusion_xls_names_are_those_of_its_first_code(tmp_path):
    with torch.device("meta"):
        kind, parts = sdxl()
    path = tmp_path / "lora.safetensors"
    KohyaFormat().write(adapter_of_rank_one(kind, parts), path, {})
    names = tensor_file.read_header(path).shapes
    for name in (
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q.lora_down.weight",
        "lora_unet_input_blocks_8_1_transformer_blocks_9_ff_net_0_proj.lora_up.weight",
        "lora_unet_middle_block_1_transformer_blocks_9_attn2_to_out_0.alpha",
        "lora_unet_output_blocks_5_1_proj_out.lora_up.weight",
        "lora_te1_text_model_encoder_layers_11_mlp_fc1.lora_down.weight",
        "lora_te2_text_model_encoder_layers_31_self_attn_out_proj.lora_up.weight",
    ):
        assert name in names
