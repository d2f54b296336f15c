import pytest
import torch
from safetensors.torch import load_file, save_file

from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_layers, lora_parameters
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.pipeline import load_adapter
from sdtune.adapters.verification import prediction
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
        ({f"{name}9.lora_down.weight": (2, 7), f"{name}9.lora_up.weight": (9, 2)}, "has no `"),
        ({f"{name}.lora_down.weight": (2, 7), f"{name}.alpha": ()}, "to hold two matrices"),
        ({f"{name}.hada_w1_{n}": (2, 7) for n in "ab"}, "to be a plain LoRA"),
        ({f"lora_te2_{n}": (2, 7) for n in ("x.lora_down.weight", "x.lora_up.weight")},
         "tunes a `text_encoder_2`"),
    ):  # fmt: skip
        save_file({key: torch.zeros(shape) for key, shape in tensors.items()}, path)
        with pytest.raises(ValueError, match=message):
            load_adapter(load(tiny_sd), path)
    dora = load(tiny_sd)
    add_lora(dora, rank=1, alpha=1.0, target_modules=["to_q"], use_dora=True)
    with pytest.raises(ValueError, match="without DoRA"):
        save(LoRAAdapter.from_model(dora), tmp_path)
