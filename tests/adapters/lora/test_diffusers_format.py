import copy
import json

import pytest
import torch
import transformers.integrations.peft as transformers_peft
from diffusers import StableDiffusionPipeline
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY, LORA_WEIGHT_NAME_SAFE
from safetensors.torch import load_file, save_file

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora, tunable_parts
from sdtune.adapters.lora.diffusers_format import CONFIG_KEY, DiffusersLoRAFormat
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.files import tensor_file
from tests.fast_part import some_fast

FORMAT = DiffusersLoRAFormat()


@pytest.fixture
def tuned(model, train):
    """A model whose alpha is not its rank, in the UNet and in the text encoder."""
    add_lora(model, rank=4, alpha=1.0, text_encoder=True, text_encoder_alpha=10.0)
    train(model)
    return model


def skip_unless_transformers_takes_peft():
    """Skip what asks diffusers' own reader for a text encoder, where it cannot work."""
    try:
        transformers_peft.check_peft_version(transformers_peft.MIN_PEFT_VERSION)
    except ValueError as error:
        pytest.skip(str(error))


def rewrite(path, edit):
    """Change a file's tensors and header the way a lossy writer would."""
    tensors, header = load_file(path), tensor_file.read_metadata(path)
    edit(tensors, header)
    save_file(tensors, path, metadata=header)


def test_names_are_those_of_diffusers():
    assert FORMAT.file_name == LORA_WEIGHT_NAME_SAFE
    assert CONFIG_KEY == LORA_ADAPTER_METADATA_KEY


@pytest.mark.parametrize("use_dora", some_fast([False, True], [True]))
def test_no_release_of_transformers_is_asked_whether_it_takes_peft(
    tmp_path, base, model, predict, train, use_dora, monkeypatch
):
    def refuse(min_version):
        raise ValueError(f"The version of PEFT you are using is not compatible: {min_version}")

    monkeypatch.setattr(transformers_peft, "check_peft_version", refuse)
    add_lora(model, rank=4, alpha=2.5, text_encoder=True, use_dora=use_dora)
    train(model)
    adapter = AdapterSet(LoRAAdapter.from_model(model))
    path = adapter.save(tmp_path)
    adapter.verify(path, model)
    fresh = copy.deepcopy(base)
    FORMAT.load(fresh, path)
    torch.testing.assert_close(predict(fresh), predict(model), rtol=1e-4, atol=1e-5)
    fresh.pipeline().unload_lora_weights()
    torch.testing.assert_close(predict(fresh), predict(base), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("target_modules", "text_encoder", "use_dora"),
    [  # others: tests/adapters/test_matrix.py
        pytest.param("attention", False, False, marks=pytest.mark.slow),
        pytest.param("all", True, True, marks=pytest.mark.slow),
        (["proj_in", "fc1"], True, False),
        (["proj_in", "fc1"], True, True),
    ],
)
def test_diffusers_reads_back_what_was_trained(
    tmp_path, micro_sd, model, predict, train, target_modules, text_encoder, use_dora
):
    add_lora(
        model,
        rank=4,
        alpha=2.5,
        target_modules=target_modules,
        text_encoder=text_encoder,
        use_dora=use_dora,
    )
    base = predict(model)
    train(model)
    path = AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path)
    if text_encoder:
        skip_unless_transformers_takes_peft()

    pipeline = StableDiffusionPipeline.from_pretrained(micro_sd, safety_checker=None)
    pipeline.load_lora_weights(tmp_path, weight_name=path.name)
    read = copy.deepcopy(model)
    read.unet, read.text_encoders[0] = pipeline.unet, pipeline.text_encoder
    torch.testing.assert_close(predict(read), predict(model), rtol=1e-4, atol=1e-5)
    assert (predict(model) - base).abs().max() > 0.02
    AdapterSet(LoRAAdapter.from_model(model)).verify(path, model)


def test_the_header_says_the_rank_for_alpha_and_the_trained_one_apart(tmp_path, tuned):
    path = AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path, {"ss_steps": "200"})
    header = tensor_file.read_metadata(path)
    config = json.loads(header[CONFIG_KEY])
    assert path == tmp_path / "pytorch_lora_weights.safetensors"
    assert (config["unet.r"], config["unet.lora_alpha"]) == (4, 4)
    assert (config["text_encoder.r"], config["text_encoder.lora_alpha"]) == (4, 4)
    trained = json.loads(header["sdtune.lora_alpha"])
    assert trained == {"unet": {"": 1.0}, "text_encoder": {"": 10.0}}
    assert config["unet.target_modules"] == ["to_k", "to_out.0", "to_q", "to_v"]
    assert config["unet.rank_pattern"] == config["text_encoder.rank_pattern"] == {}  # 0.38 asks
    assert "unet.layer_replication" not in config
    assert (header["ss_steps"], header["format"]) == ("200", "pt")


def test_keys_are_those_that_diffusers_and_comfyui_read(tmp_path, sd1_model):
    add_lora(sd1_model, rank=4, alpha=2.0, text_encoder=True)
    tensors = load_file(AdapterSet(LoRAAdapter.from_model(sd1_model)).save(tmp_path))
    block = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor"
    assert tensors[f"{block}.to_q_lora.down.weight"].shape == (4, 16)
    assert tensors[f"{block}.to_out_lora.up.weight"].shape == (16, 4)
    layer = "text_encoder.text_model.encoder.layers.11.self_attn.q_proj.lora_linear_layer"
    assert tensors[f"{layer}.up.weight"].shape == (32, 4)
    assert len(tensors) == 2 * (128 + 48)


@pytest.mark.parametrize(("alpha", "is_exact"), [(1.0, True), (0.7, False)])
def test_the_trained_matrices_come_back_to_go_on_training(tmp_path, model, train, alpha, is_exact):
    add_lora(model, rank=4, alpha=alpha, target_modules=["to_q", "conv1"])
    train(model)
    adapter = LoRAAdapter.from_model(model)
    path = AdapterSet(adapter).save(tmp_path)
    LoRAAdapter.remove(model)
    read = FORMAT.read(path, tunable_parts(model), unfolded=True)["unet"]
    for name, expected in adapter.updates("unet").items():
        assert (read[name].rank, read[name].alpha) == (4, alpha)
        assert torch.equal(read[name].tensors["lora_A"], expected.tensors["lora_A"])
        up, trained = read[name].tensors["lora_B"], expected.tensors["lora_B"]
        assert torch.equal(up, trained) or not is_exact
        torch.testing.assert_close(up, trained, rtol=1.2e-7, atol=0)


def test_two_saves_write_the_same_bytes(tmp_path, tuned):
    first = AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path / "a").read_bytes()
    assert AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path / "b").read_bytes() == first


def test_no_reader_needs_the_header(tmp_path, tuned):
    adapter = LoRAAdapter.from_model(tuned)
    path = AdapterSet(adapter).save(tmp_path)
    rewrite(path, lambda tensors, header: header.pop(CONFIG_KEY))
    assert FORMAT.verify(adapter, path, tuned) < 1e-5


def test_a_changed_matrix_is_caught(tmp_path, tuned):
    path = AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path)

    def edit(tensors, header):
        tensors[sorted(tensors)[-1]][0, 0] += 1e-6

    rewrite(path, edit)
    with pytest.raises(AdapterVerificationError, match="to hold the trained"):
        AdapterSet(LoRAAdapter.from_model(tuned)).verify(path, tuned)


def test_a_missing_part_is_caught(tmp_path, tuned):
    path = AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path)

    def edit(tensors, header):
        for key in [key for key in tensors if key.startswith("text_encoder")]:
            del tensors[key]

    rewrite(path, edit)
    with pytest.raises(AdapterVerificationError, match=r"8 layers of the CLIPTextModel, .* 0;"):
        AdapterSet(LoRAAdapter.from_model(tuned)).verify(path, tuned)


def test_verification_holds_on_a_half_precision_base(tmp_path, model, train):
    model.to(torch.bfloat16)
    add_lora(model, rank=4, alpha=2.0, text_encoder=True)
    train(model)
    path = AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path)
    AdapterSet(LoRAAdapter.from_model(model)).verify(path, model)
    assert {tensor.dtype for tensor in load_file(path).values()} == {torch.float32}


def test_load_puts_the_adapter_on_another_copy_of_the_base(tmp_path, base, tuned, predict):
    path = AdapterSet(LoRAAdapter.from_model(tuned)).save(tmp_path)
    other = copy.deepcopy(base)
    FORMAT.load(other, path)
    torch.testing.assert_close(predict(other), predict(tuned))
    assert not any(parameter.requires_grad for parameter in other.parameters())
    again = LoRAAdapter.from_model(other)
    assert again.configs["text_encoder"].lora_alpha == 4
    assert again.weights["unet"].keys() == LoRAAdapter.from_model(tuned).weights["unet"].keys()


def test_a_unet_adapter_loads_without_a_warning(tmp_path, base, model, caplog):
    add_lora(model, rank=2, alpha=2.0)
    path = AdapterSet(LoRAAdapter.from_model(model)).save(tmp_path)
    FORMAT.load(copy.deepcopy(base), path)
    assert "No LoRA keys" not in caplog.text
