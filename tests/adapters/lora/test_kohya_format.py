import hashlib
import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_layers, lora_parameters
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.pipeline import load_adapter
from sdtune.adapters.verification import prediction
from sdtune.files import tensor_file
from sdtune.models import load


def save(adapter, folder):
    path = folder / KohyaFormat.file_name
    KohyaFormat().write(adapter, path, {"ss_steps": "4"})
    return path


@pytest.fixture(scope="module")
def trained(tiny_sd):
    """A LoRA in UNet, convolutions included, and text encoder, that has moved."""
    model = load(tiny_sd)
    add_lora(model, rank=3, alpha=5.0, target_modules="all", text_encoder=True)
    with torch.no_grad():
        for parameter in lora_parameters(model):
            parameter += 0.05
    return model.eval()


@pytest.mark.slow
def test_a_file_does_what_the_model_does(tmp_path, trained, tiny_sd):
    path = save(LoRAAdapter.from_model(trained), tmp_path)
    fresh = load(tiny_sd)
    assert not torch.allclose(prediction(fresh), prediction(trained), atol=1e-2)
    assert load_adapter(fresh, tmp_path) == [path]
    torch.testing.assert_close(prediction(fresh), prediction(trained), rtol=0, atol=1e-5)
    assert not any(parameter.requires_grad for parameter in fresh.parameters())


def test_keys_are_those_of_sd_1(tmp_path, trained):
    tensors = load_file(save(LoRAAdapter.from_model(trained), tmp_path))
    query = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    assert tensors[f"{query}.lora_down.weight"].shape[0] == 3
    assert tensors[f"{query}.alpha"].item() == 5.0
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight" in tensors
    text = [key for key in tensors if key.startswith("lora_te_") and key.endswith("lora_up.weight")]
    assert len(text) == 72


def test_alphas_and_ranks_of_their_own(tmp_path, tiny_sd):
    model = load(tiny_sd)
    layer = model.unet.down_blocks[0].attentions[0]
    name = "lora_unet_down_blocks_0_attentions_0_"
    query = layer.transformer_blocks[0].attn1.to_q.weight
    projection = layer.proj_in.weight[:, :, 0, 0]  # 1 x 1, here as a linear layer
    tensors, wanted = {}, {}
    for end, weight, rank, alpha in (
        ("transformer_blocks_0_attn1_to_q", query, 2, 1.0),
        ("proj_in", projection, 4, None),
    ):
        down, up = torch.randn(rank, weight.shape[1]), torch.randn(weight.shape[0], rank)
        tensors[f"{name}{end}.lora_down.weight"], tensors[f"{name}{end}.lora_up.weight"] = down, up
        if alpha is not None:
            tensors[f"{name}{end}.alpha"] = torch.tensor(alpha)
        wanted[end] = weight + (1.0 if alpha is None else alpha / rank) * up @ down
    save_file(tensors, tmp_path / "from_the_web.safetensors")
    load_adapter(model, tmp_path / "from_the_web.safetensors")
    wrapped = list(lora_layers(model.unet).values())
    deltas = [each.get_base_layer().weight + each.get_delta_weight("default") for each in wrapped]
    for delta, end in zip(deltas, ("proj_in", "transformer_blocks_0_attn1_to_q"), strict=True):
        torch.testing.assert_close(delta.flatten(1), wanted[end], rtol=1e-4, atol=1e-4)


def test_what_does_not_fit_is_one_sentence(tmp_path, trained, tiny_sd):
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    path = tmp_path / "other.safetensors"
    for tensors, message in (
        ({f"{name}.lora_down.weight": (2, 7), f"{name}.lora_up.weight": (9, 2)}, "is 9 x 7 and"),
        ({f"{name}.lora_down.weight": (2, 16), f"{name}.lora_up.weight": (16, 3)}, "does not go"),
        ({f"{name}.lora_down.weight": (2, 7), f"{name}.alpha": ()}, "`lora_B` is missing"),
        ({f"{name}.hada_w1_{n}": (7, 7) for n in "ab"}, "`hada_w2_a` is missing"),
        ({f"lora_te2_{n}": (2, 7) for n in ("x.lora_down.weight", "x.lora_up.weight")},
         "a kohya file for Stable Diffusion XL, to fit .* but 2 of its 2 tensors have no place"),
    ):  # fmt: skip
        save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, path)
        with pytest.raises(ValueError, match=message):
            load_adapter(load(tiny_sd), path)


def test_the_file_has_the_runs_name_and_what_programs_read_in_its_header(tmp_path, trained):
    run = {
        "ss_output_name": "cats",
        "sdtune.clip_skip": "2",
        "sdtune.learning_rate": "0.0001",
        "sdtune.text_encoder_learning_rate": "None",
        "sdtune.num_train_images": "20",
    }
    adapter = LoRAAdapter.from_model(trained)
    path = KohyaFormat().path_in(tmp_path, run)
    assert path == tmp_path / "cats.safetensors"
    KohyaFormat().write(adapter, path, run)
    assert KohyaFormat().find(tmp_path) == path
    header = tensor_file.read_metadata(path)
    wanted = {
        "ss_output_name": "cats",
        "ss_base_model_version": "sd_v1",
        "ss_v2": "False",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "3",
        "ss_network_alpha": "5",
        "ss_clip_skip": "2",
        "ss_num_train_images": "20",
        "ss_unet_lr": "0.0001",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.title": "cats",
        "modelspec.prediction_type": "epsilon",
        "modelspec.encoder_layer": "2",
    }
    assert header.items() >= wanted.items()
    assert "ss_text_encoder_lr" not in header
    content = path.read_bytes()
    tensors = content[8 + int.from_bytes(content[:8], "little") :]
    assert header["sshs_model_hash"] == hashlib.sha256(tensors).hexdigest()
    assert len(header["sshs_legacy_hash"]) == 8
    KohyaFormat().write(adapter, tmp_path / "again.safetensors", run)
    assert (tmp_path / "again.safetensors").read_bytes() == content


def test_the_text_encoders_own_rank_and_alpha(tmp_path, tiny_sd):
    model = load(tiny_sd)
    add_lora(
        model, rank=4, alpha=2.0, text_encoder=True, text_encoder_rank=2, text_encoder_alpha=1.5
    )
    path = save(LoRAAdapter.from_model(model), tmp_path)
    tensors, header = load_file(path), tensor_file.read_metadata(path)
    text = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    assert tensors[f"{text}.lora_down.weight"].shape[0] == 2
    assert tensors[f"{text}.alpha"].item() == 1.5
    assert (header["ss_network_dim"], header["ss_network_alpha"]) == ("4", "2")
    assert json.loads(header["ss_network_args"]) == {
        "text_encoder_dim": "2", "text_encoder_alpha": "1.5",
    }  # fmt: skip
