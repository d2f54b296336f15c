"""Configurations that PEFT writes, and those that nobody should: read, or refused by their key."""

from __future__ import annotations

import copy
import json
import re

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from sdtune.adapters.inspection import inspect_adapter
from sdtune.adapters.lora import lora_layers, lora_parameters, tunable_parts
from sdtune.adapters.lora.diffusers_format import DiffusersLoRAFormat
from sdtune.adapters.lora.peft_config import CONFIG_KEY, CONFIG_NAME, alpha_of_module, read_config
from sdtune.adapters.pipeline import load_adapter

QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
WHOLE = {"peft_type": "LORA", "r": 2, "lora_alpha": 3}


def refusal(model, path):
    with pytest.raises(ValueError, match=re.escape(str(path))) as caught:
        load_adapter(model, path)
    assert not lora_layers(model)
    [told] = inspect_adapter(path)
    assert told.is_damaged
    assert told.notes[0] == str(caught.value)
    return str(caught.value)


def header_file(path, configs):
    tensors = {"down": torch.ones(2, 8), "up": torch.ones(8, 2)}
    tensors = {f"unet.{QUERY}.lora.{name}.weight": each for name, each in tensors.items()}
    save_file(
        tensors, path, {CONFIG_KEY: configs if isinstance(configs, str) else json.dumps(configs)}
    )
    return path


@pytest.mark.parametrize("start", ["pissa", "pissa_niter_2", "olora"])
def test_a_lora_of_a_base_that_peft_changed_is_refused(model, tmp_path, start):
    base = copy.deepcopy(model.unet)
    wrapped = get_peft_model(base, LoraConfig(r=2, target_modules=[QUERY], init_lora_weights=start))
    changed = wrapped.get_base_model().get_submodule(QUERY).base_layer.weight
    assert (changed - model.unet.get_submodule(QUERY).weight).abs().max() > 1e-3
    wrapped.save_pretrained(tmp_path)
    message = refusal(model, tmp_path)
    assert f"{CONFIG_NAME}, which is `{start}`" in message
    assert "`path_initial_model_for_weight_conversion`" in message


def test_what_peft_makes_of_it_by_the_advice_is_read(model, tmp_path):
    base = copy.deepcopy(model.unet)
    config = LoraConfig(r=2, target_modules=[QUERY], init_lora_weights="pissa")
    wrapped = get_peft_model(base, config)
    wrapped.peft_config["default"].init_lora_weights = True
    wrapped.save_pretrained(tmp_path / "first")
    wrapped.peft_config["default"].init_lora_weights = "pissa"
    with torch.no_grad():
        for parameter in lora_parameters(base):
            parameter += 0.1
    wrapped.save_pretrained(
        tmp_path / "lora", path_initial_model_for_weight_conversion=tmp_path / "first"
    )
    load_adapter(model, tmp_path / "lora")
    found, wanted = (
        layer.get_base_layer().weight + layer.get_delta_weight("default")
        for layer in (lora_layers(each)[QUERY] for each in (model.unet, base))
    )
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("start", ["corda", "loftq", "lora_ga"])
def test_so_is_one_in_the_header_of_diffusers(model, tmp_path, start):
    path = header_file(tmp_path / "a.safetensors", {"unet.r": 2, "unet.init_lora_weights": start})
    message = refusal(model, path)
    assert f"which is `{start}`, PEFT changes the base's weights too" in message
    assert ("merge it into its base" in message) == (start == "loftq")


@pytest.mark.parametrize("start", [True, False, "gaussian", "orthogonal", "eva", "mica"])
def test_initial_matrices_alone_do_not_matter(tmp_path, start):
    (tmp_path / CONFIG_NAME).write_text(json.dumps({**WHOLE, "init_lora_weights": start}))
    assert alpha_of_module(read_config(tmp_path), QUERY, 2) == 3.0


@pytest.mark.parametrize("key", ["use_bdlora", "kasa_config", "alora_invocation_tokens"])
def test_another_method_is_refused_by_its_key(tmp_path, key):
    (tmp_path / CONFIG_NAME).write_text(json.dumps({**WHOLE, key: [1]}))
    with pytest.raises(ValueError, match=f"`{key}` in .*{CONFIG_NAME} makes it another method"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lora_alpha": float("nan")}, "`lora_alpha` in .* a finite number, but got nan"),
        ({"lora_alpha": 10**400}, "`lora_alpha` in .* a finite number, but got 1000"),
        ({"lora_alpha": [1]}, r"`lora_alpha` in .* a finite number, but got \[1\]"),
        ({"lora_alpha": True}, "`lora_alpha` in .* a finite number, but got True"),
        ({"r": 0}, "`r` in .* a number above 0, but got 0"),
        ({"alpha_pattern": [1]}, r"`alpha_pattern` in .* with a number each, but got \[1\]"),
        ({"alpha_pattern": {"(": 3}}, r"`\(` in `alpha_pattern` in .* pattern of names"),
        ({"alpha_pattern": {"to_q": "x"}}, "`to_q` in `alpha_pattern` in .* but got 'x'"),
        ({"rank_pattern": {"to_q": 0}}, "`to_q` in `rank_pattern` in .* above 0, but got 0"),
        ({"use_rslora": "no"}, "`use_rslora` in .* true or false, but got 'no'"),
    ],
)
def test_values_of_the_wrong_kind_are_refused_by_their_key(model, tmp_path, config, message):
    (tmp_path / CONFIG_NAME).write_text(json.dumps({**WHOLE, **config}))
    with pytest.raises(ValueError, match=message):
        read_config(tmp_path)
    of_unet = {f"unet.{key}": each for key, each in config.items()}
    told = refusal(model, header_file(tmp_path / "a.safetensors", of_unet))
    assert re.search(message, told)


@pytest.mark.parametrize("content", ["[1]", "3", "{", "[" * 100_000])
def test_what_is_no_object_of_json_is_refused(model, tmp_path, content):
    (tmp_path / CONFIG_NAME).write_text(content)
    with pytest.raises(ValueError, match=f"Expected .*{CONFIG_NAME} to be "):
        read_config(tmp_path)
    assert f"`{CONFIG_KEY}`" in refusal(model, header_file(tmp_path / "a.safetensors", content))


def test_pefts_configuration_without_alpha_is_refused(tmp_path):
    (tmp_path / CONFIG_NAME).write_text('{"peft_type": "LOHA", "r": 2, "lora_alpha": 1}')
    with pytest.raises(ValueError, match=r"Expected `alpha` in .* a finite number, but got None"):
        read_config(tmp_path)


def test_inspect_tells_alphas_of_patterns_and_of_roots(tmp_path):
    config = {"unet.lora_alpha": 3, "unet.alpha_pattern": {r"attn\d\.to_q": 5}}
    [told] = inspect_adapter(header_file(tmp_path / "a.safetensors", config))
    assert told.layers[0].alpha == 5.0
    config = {"unet.lora_alpha": 3, "unet.use_rslora": True}
    [told] = inspect_adapter(header_file(tmp_path / "a.safetensors", config))
    assert told.layers[0].alpha == 3 * 2**0.5


@pytest.mark.parametrize("trained", ['{"unet": 3}', '{"unet": {"": 0}}', '{"unet": {"": NaN}}'])
def test_trained_alphas_of_ours_are_checked_too(model, tmp_path, trained):
    path = header_file(tmp_path / "a.safetensors", {})
    save_file(load_file(path), path, {"sdtune.lora_alpha": trained})
    with pytest.raises(ValueError, match=r"the alphas of the unet in `sdtune\.lora_alpha` in"):
        DiffusersLoRAFormat().read(path, tunable_parts(model), unfolded=True)
