"""Files of other programs: all of each is read, or it is refused with what it is; never a no-op."""

from __future__ import annotations

import copy
import json
import re

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from sdtune.adapters import registry
from sdtune.adapters.inspection import inspect_adapter
from sdtune.adapters.lora import LoRAAdapter, add_lora, lora_layers, lora_parameters
from sdtune.adapters.lora.kohya_format import KohyaFormat
from sdtune.adapters.lora.peft_format import PEFTFormat
from sdtune.adapters.pipeline import load_adapter
from sdtune.adapters.words.textual_inversion_format import TextualInversionFormat
from sdtune.models import load
from tests.adapters.readers import original_names

BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
QUERY = "lora_unet_" + f"{BLOCK}.to_q".replace(".", "_")
CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


@pytest.fixture(scope="module")
def micro(micro_sd):
    return load(micro_sd)


@pytest.fixture
def fresh(micro):
    return copy.deepcopy(micro)


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def change(model, module):
    """What a file has changed a module's weight by."""
    return lora_layers(model.unet)[module].get_delta_weight("default").detach()


def refusal(model, path):
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_adapter(model, path)
    assert not lora_layers(model)  # nothing of it was put in
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["", "unet."])
def test_diffusers_first_names(fresh, tmp_path, prefix):
    path = tmp_path / "pytorch_lora_weights.bin"
    down, up = draw(2, 8), draw(8, 2, seed=1)
    name = f"{prefix}{BLOCK}.processor.to_out_lora"
    torch.save({f"{name}.down.weight": down, f"{name}.up.weight": up}, path)
    assert load_adapter(fresh, path) == [path]
    torch.testing.assert_close(change(fresh, f"{BLOCK}.to_out.0"), up @ down)


def test_the_text_encoders_first_names(fresh, tmp_path):
    path = tmp_path / "old.safetensors"
    down, up = draw(2, 16), draw(16, 2, seed=1)
    name = "text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora"
    save_file({f"{name}.down.weight": down, f"{name}.up.weight": up}, path)
    load_adapter(fresh, path)
    [(module, layer)] = lora_layers(fresh.text_encoders[0]).items()
    assert module.endswith("encoder.layers.0.self_attn.q_proj")
    torch.testing.assert_close(layer.get_delta_weight("default"), up @ down)


def kohya_file(model, path, **settings):
    model = copy.deepcopy(model)
    add_lora(model, rank=2, alpha=1.0, text_encoder=True, **settings)
    with torch.no_grad():
        for number, parameter in enumerate(lora_parameters(model)):
            parameter += 0.1 * draw(*parameter.shape, seed=number)
    KohyaFormat().write(LoRAAdapter.from_model(model), path, {})
    return model


def test_a_pickle_of_kohyas_is_read_whole(micro, fresh, tmp_path):
    path = tmp_path / "kohya.safetensors"
    trained = kohya_file(micro, path)
    pickled = tmp_path / "kohya.pt"
    torch.save({"state_dict": load_file(path)}, pickled)
    load_adapter(fresh, pickled)
    found, wanted = lora_layers(fresh), lora_layers(trained)
    assert found.keys() == wanted.keys()
    for name, layer in wanted.items():
        delta = layer.get_delta_weight("default")
        torch.testing.assert_close(found[name].get_delta_weight("default"), delta)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_numbers_of_8_bits_mean_what_they_say(fresh, tmp_path, dtype):
    down, up = draw(2, 8).to(dtype), draw(8, 2, seed=1).to(dtype)
    path = tmp_path / "float8.safetensors"
    alpha = torch.tensor(1.0).to(dtype)
    tensors = {"lora_down.weight": down, "lora_up.weight": up, "alpha": alpha}
    save_file({f"{QUERY}.{name}": each for name, each in tensors.items()}, path)
    load_adapter(fresh, path)
    wanted = 0.5 * up.float() @ down.float()
    torch.testing.assert_close(change(fresh, f"{BLOCK}.to_q"), wanted)
    adapter = LoRAAdapter.from_model(fresh)
    for form in registry.formats_of(LoRAAdapter):
        form.write(adapter, tmp_path / form.file_name, {})
        assert form.verify(adapter, tmp_path / form.file_name, fresh) < 1e-5
    [told] = inspect_adapter(path)
    assert told.dtypes == [str(dtype).removeprefix("torch.")]
    assert not told.is_damaged


def test_a_pickle_that_holds_more_than_tensors_is_not_run(fresh, tmp_path):
    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "harm"), "w"))

    path = tmp_path / "kohya.ckpt"
    torch.save({f"{QUERY}.lora_up.weight": draw(8, 2), "more": Harmful()}, path)
    assert "damaged or holds more, which is not run" in refusal(fresh, path)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("name", ["x.safetensors", "x.pt"])
def test_a_damaged_file_is_one_sentence(fresh, tmp_path, name):
    path = tmp_path / name
    if name.endswith("pt"):
        torch.save({f"{QUERY}.lora_up.weight": draw(80, 2)}, path)
    else:
        save_file({f"{QUERY}.lora_up.weight": draw(80, 2)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    assert "damaged" in refusal(fresh, path)


def test_a_file_without_tensors(fresh, tmp_path):
    path = tmp_path / "empty.safetensors"
    save_file({}, path)
    assert "it holds no tensor" in refusal(fresh, path)


@pytest.mark.parametrize(
    ("names", "family"),
    [
        (["lora_unet_double_blocks_0_img_attn_proj.lora_{}.weight"], "Flux"),
        (["transformer.single_transformer_blocks.0.attn.to_q.lora_{}.weight"], "Flux"),
        (["transformer.transformer_blocks.0.attn.to_q.lora_{}.weight"], "Stable Diffusion 3"),
        (["lora_unet_joint_blocks_0_x_block_attn_qkv.lora_{}.weight"], "Stable Diffusion 3"),
        (["lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_{}.weight"], "Stable Diffusion XL"),
    ],
)
def test_another_family_is_named(fresh, tmp_path, names, family):
    path = tmp_path / "other.safetensors"
    sides = ("down", "up") if "lora_unet" in names[0] or "lora_te" in names[0] else ("A", "B")
    save_file({name.format(side): draw(4, 4) for name in names for side in sides}, path)
    message = refusal(fresh, path)
    assert f"for {family}" in message
    assert "2 of its 2 tensors have no place in it" in message


@pytest.mark.parametrize(
    "stray",
    [
        "lora_te_text_model_encoder_layers_22_self_attn_q_proj.lora_up.weight",
        "lora_unet_down_blocks_7_resnets_0_conv1.lora_up.weight",
        f"{QUERY}.diff",
        "something.else",
    ],
)
def test_one_stray_module_beside_those_that_fit(micro, fresh, tmp_path, stray):
    path = tmp_path / "stray.safetensors"
    kohya_file(micro, path)
    save_file({**load_file(path), stray: draw(8, 2)}, path)
    message = refusal(fresh, path)
    assert "1 of its" in message
    assert f"such as `{stray}`" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite(micro, fresh, tmp_path, value):
    path = tmp_path / "failed.safetensors"
    kohya_file(micro, path)
    tensors = load_file(path)
    tensors[f"{QUERY}.lora_up.weight"][0, 0] = value
    save_file(tensors, path)
    assert f"finite, but `{QUERY}.lora_up.weight`" in refusal(fresh, path)
    word = tmp_path / "word.safetensors"
    save_file({"<erica>": torch.full((1, 16), value)}, word)
    assert "finite, but `<erica>`" in refusal(fresh, word)


def test_original_block_names(micro, fresh, tmp_path):
    path, renamed = tmp_path / "diffusers_names.safetensors", tmp_path / "renamed.safetensors"
    trained = kohya_file(micro, path, target_modules="all")
    to_original = {m.replace(".", "_"): o for o, m in original_names(micro.unet).items()}
    tensors = {}
    for key, tensor in load_file(path).items():
        name, _, end = key.partition(".")
        if name.startswith("lora_unet_"):
            original = to_original[name.removeprefix("lora_unet_")]
            name = "lora_unet_" + original.replace(".", "_")
        tensors[f"{name}.{end}"] = tensor
    assert any("input_blocks_1_1_proj_in" in key for key in tensors)
    save_file(tensors, renamed)
    load_adapter(fresh, renamed)
    for name, layer in lora_layers(trained.unet).items():
        torch.testing.assert_close(change(fresh, name), layer.get_delta_weight("default"))


def test_a_middle_convolution(fresh, tmp_path):
    path = tmp_path / "locon.safetensors"
    down, middle, up = draw(2, 8, 1, 1), draw(2, 2, 3, 3, seed=1), draw(8, 2, 1, 1, seed=2)
    parts = {"lora_down": down, "lora_mid": middle, "lora_up": up}
    tensors = {f"{CONV}.{name}.weight": each for name, each in parts.items()}
    save_file({**tensors, f"{CONV}.alpha": torch.tensor(1.0)}, path)
    load_adapter(fresh, path)
    pixels = draw(1, 8, 5, 5, seed=3)
    wanted = nn.functional.conv2d(pixels, down)
    wanted = nn.functional.conv2d(wanted, middle, padding=1)
    wanted = 0.5 * nn.functional.conv2d(wanted, up)
    weight = change(fresh, "down_blocks.0.resnets.0.conv1")
    found = nn.functional.conv2d(pixels, weight, padding=1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_dora_by_outputs_and_not_by_inputs(fresh, micro, tmp_path):
    path = tmp_path / "dora.safetensors"
    down, up, scale = draw(2, 8), draw(8, 2, seed=1), draw(8, 1, seed=2).abs()
    tensors = {f"{QUERY}.lora_down.weight": down, f"{QUERY}.lora_up.weight": up}
    save_file({**tensors, f"{QUERY}.dora_scale": scale}, path)
    load_adapter(fresh, path)
    layer = lora_layers(fresh.unet)[f"{BLOCK}.to_q"]
    weight = layer.get_base_layer().weight + up @ down
    weight = scale * weight / weight.norm(dim=1, keepdim=True)
    hidden = draw(3, 8, seed=3)
    with torch.no_grad():
        torch.testing.assert_close(layer.eval()(hidden), hidden @ weight.T, rtol=1e-4, atol=1e-5)
    save_file({**tensors, f"{QUERY}.dora_scale": scale.T}, path)
    assert "(DoRA) are one for each input" in refusal(copy.deepcopy(micro), path)


def test_lycoris_products(fresh, tmp_path):
    path = tmp_path / "lokr.safetensors"
    w1, a, b = draw(2, 4), draw(4, 1, seed=1), draw(1, 2, seed=2)
    conv1, conv2 = draw(2, 2, seed=3), draw(4, 4, 3, 3, seed=4)
    save_file(
        {
            f"{QUERY}.lokr_w1": w1, f"{QUERY}.lokr_w2_a": a, f"{QUERY}.lokr_w2_b": b,
            f"{QUERY}.alpha": torch.tensor(0.5),
            f"{CONV}.lokr_w1": conv1, f"{CONV}.lokr_w2": conv2,
            f"{CONV}.alpha": torch.tensor(7.0),  # of two whole matrices it is without effect
        },
        path,
    )  # fmt: skip
    load_adapter(fresh, path)
    torch.testing.assert_close(change(fresh, f"{BLOCK}.to_q"), 0.5 * torch.kron(w1, a @ b))
    kron = torch.kron(conv1[:, :, None, None], conv2)
    torch.testing.assert_close(change(fresh, "down_blocks.0.resnets.0.conv1"), kron)
    # PEFT would cut 8 by 8 up as 2 by 2 and 4 by 4, and so could not read a folder of its own
    adapter = LoRAAdapter.from_model(fresh)
    assert not PEFTFormat().holds(adapter)
    KohyaFormat().write(adapter, tmp_path / "again.safetensors", {})
    assert KohyaFormat().verify(adapter, tmp_path / "again.safetensors", fresh) < 1e-5


def test_lycoris_products_by_elements_with_a_core(fresh, tmp_path):
    path = tmp_path / "loha.safetensors"
    tensors = {}
    for n in "12":
        tensors[f"hada_t{n}"] = draw(2, 2, 3, 3, seed=int(n))
        tensors[f"hada_w{n}_a"] = draw(2, 8, seed=10 + int(n))
        tensors[f"hada_w{n}_b"] = draw(2, 8, seed=20 + int(n))
    save_file({f"{CONV}.{name}": each for name, each in tensors.items()}, path)
    load_adapter(fresh, path)
    halves = [
        torch.einsum("ijkl,ip,jr->prkl", *(tensors[f"hada_{x}"] for x in (f"t{n}", *ends)))
        for n, ends in (("1", ("w1_a", "w1_b")), ("2", ("w2_a", "w2_b")))
    ]
    delta = change(fresh, "down_blocks.0.resnets.0.conv1")
    torch.testing.assert_close(delta, halves[0] * halves[1], rtol=1e-4, atol=1e-4)


def test_two_methods_in_one_file(fresh, tmp_path):
    path = tmp_path / "mixed.safetensors"
    tensors = {f"{QUERY}.lora_down.weight": draw(2, 8), f"{QUERY}.lora_up.weight": draw(8, 2)}
    tensors |= {f"{CONV}.lokr_w1": draw(2, 2), f"{CONV}.lokr_w2": draw(4, 4, 3, 3)}
    save_file(tensors, path)
    assert "modules of lokr and lora, of which one is read" in refusal(fresh, path)


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"lora_bias": True}])
def test_a_dora_and_biases_of_peft(micro, fresh, tmp_path, settings):
    trained = copy.deepcopy(micro)
    targets = ["conv1", "to_out.0"]
    wrapped = get_peft_model(
        trained.unet, LoraConfig(r=2, lora_alpha=3, target_modules=targets, **settings)
    )
    with torch.no_grad():
        for number, parameter in enumerate(lora_parameters(wrapped)):
            parameter += 0.1 * draw(*parameter.shape, seed=number)
    wrapped.save_pretrained(tmp_path)
    load_adapter(fresh, tmp_path)
    inputs = draw(1, 4, 8, 8), torch.tensor(3), draw(1, 5, 16)
    with torch.no_grad():
        found, wanted = (each.unet.eval()(*inputs).sample for each in (fresh, trained))
        base = micro.unet(*inputs).sample
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert (found - base).abs().max() > 1e-2
    again = tmp_path / "again"
    for form in registry.formats_of(LoRAAdapter):
        adapter = LoRAAdapter.from_model(fresh)
        if form.holds(adapter):
            form.write(adapter, again / form.file_name, {})
            assert form.verify(adapter, again / form.file_name, fresh) < 1e-5
        else:
            assert form.name == "kohya"


def test_tuned_biases_of_the_base_are_refused(micro, fresh, tmp_path):
    config = LoraConfig(r=2, target_modules=["conv1"], bias="lora_only")
    get_peft_model(copy.deepcopy(micro).unet, config).save_pretrained(tmp_path)
    path = tmp_path / "adapter_model.safetensors"
    tensors = load_file(path)
    name = next(each for each in tensors if each.endswith("conv1.lora_A.weight"))
    # which PEFT 0.18 leaves out
    tensors.setdefault(name.replace("lora_A.weight", "base_layer.bias"), torch.zeros(8))
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(
        ValueError, match=r"tensors ha(ve|s) no place in it, such as `.*conv1.*bias`"
    ):
        load_adapter(fresh, tmp_path)


def test_pefts_weights_without_their_configuration(micro, fresh, tmp_path):
    config = LoraConfig(r=2, lora_alpha=7, target_modules=["conv1"])
    get_peft_model(copy.deepcopy(micro).unet, config).save_pretrained(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    load_adapter(fresh, weights)  # with it
    assert fresh.unet.peft_config["default"].lora_alpha == 7
    (tmp_path / "adapter_config.json").unlink()
    assert "adapter_config.json" in refusal(copy.deepcopy(micro), weights)


WORD = draw(2, 16, seed=9)


def a1111(module=dict):
    return {
        "string_to_token": {"*": 265},
        "string_to_param": module({"*": WORD}),
        "name": "erica",
        "step": 100,
        "sd_checkpoint": "7460a6fa",
    }


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("fluffy.safetensors", {"emb_params": WORD}, "fluffy"),
        ("fluffy.safetensors", {"clip_l": WORD}, "fluffy"),
        ("fluffy.safetensors", {"<erica>": WORD}, "<erica>"),
        ("fluffy.pt", a1111(), "erica"),
        ("fluffy.pt", a1111(nn.ParameterDict), "erica"),
        ("fluffy.bin", {"<erica>": WORD}, "<erica>"),
        ("fluffy.bin", {"*": WORD}, "fluffy"),
        ("fluffy.pt", WORD, "fluffy"),
    ],
)
def test_words_of_other_programs(fresh, tmp_path, name, content, word):
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(content, path)
    else:
        torch.save(content, path)
    assert [each.placeholder_token for each in registry.read_words([path])] == [word]
    load_adapter(fresh, path)
    assert fresh.substitutions == {word: f"{word} {word}_1"}
    table = fresh.text_encoders[0].get_input_embeddings().weight
    torch.testing.assert_close(table[-2:].detach(), WORD, rtol=0, atol=0)


def test_a_word_that_the_vocabulary_has_is_refused(fresh, tmp_path):
    path = tmp_path / "c.safetensors"
    save_file({"emb_params": WORD}, path)
    assert "give the file another name" in refusal(fresh, path)


@pytest.mark.parametrize("end", ["string_to_param.*", "clip_l"])
def test_words_bundled_with_a_lora(micro, fresh, tmp_path, end):
    path = tmp_path / "bundle.safetensors"
    trained = kohya_file(micro, path)
    save_file({**load_file(path), f"bundle_emb.erica.{end}": WORD}, path)
    [word] = registry.read_words([path])
    assert (word.placeholder_token, word.num_vectors) == ("erica", 2)
    load_adapter(fresh, path)
    assert fresh.substitutions == {"erica": "erica erica_1"}
    assert lora_layers(fresh.unet).keys() == lora_layers(trained.unet).keys()


def test_a_word_for_two_text_encoders_does_not_fit_one(fresh, tmp_path):
    path = tmp_path / "xl.safetensors"
    save_file({"clip_l": draw(1, 768), "clip_g": draw(1, 1280)}, path)
    assert "of width 16, but it holds vectors of 768, 1280" in refusal(fresh, path)
    word = TextualInversionFormat().read(path)
    assert word.placeholder_token == "xl"
    assert [each.shape[1] for each in word.vectors] == [768, 1280]


def test_a_configuration_that_is_no_json_is_named(fresh, micro, tmp_path):
    path = tmp_path / "lora.safetensors"
    name = f"unet.{BLOCK}.to_q.lora"
    tensors = {f"{name}.down.weight": draw(2, 8), f"{name}.up.weight": draw(8, 2)}
    save_file(tensors, path, {"lora_adapter_metadata": "{"})
    assert "`lora_adapter_metadata` in" in refusal(fresh, path)
    config = {"unet.r": 2, "unet.lora_alpha": 3, "unet.alpha_pattern": {"attn1.to_q": 1}}
    save_file(tensors, path, {"lora_adapter_metadata": json.dumps(config)})
    other = copy.deepcopy(micro)
    load_adapter(other, path)
    assert lora_layers(other.unet)[f"{BLOCK}.to_q"].scaling["default"] == 0.5
