import copy
import math

import pytest
import torch

from sdtune.adapters.lora import (
    LoRAAdapter,
    add_lora,
    lora_layers,
    lora_parameters,
    tunable_parts,
    without_adapter,
)
from tests.fast_part import some_fast


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize(
    "target_modules", some_fast(["attention", "attention+feed_forward", "all"], ["all"])
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_fresh_adapter_changes_nothing(model, predict, dtype, target_modules, use_dora):
    model.to(dtype)
    before = predict(model)
    add_lora(
        model,
        rank=4,
        alpha=2.0,
        target_modules=target_modules,
        use_dora=use_dora,
        text_encoder=True,
    )
    assert torch.equal(predict(model), before)
    assert {parameter.dtype for parameter in lora_parameters(model)} == {torch.float32}
    assert model.dtype == dtype


def test_only_the_adapter_learns_and_the_base_stays_bit_equal(model, predict):
    frozen = {name: weight.clone() for name, weight in model.state_dict().items()}
    add_lora(model, rank=2, alpha=2.0, text_encoder=True)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert len(learning) == len(lora_parameters(model)) > 0
    assert {id(p) for p in learning} == {id(p) for p in lora_parameters(model)}

    optimizer = torch.optim.SGD(learning, lr=0.1)
    noise = torch.randn(1, 4, 8, 8)
    model(noise, torch.tensor([5]), model.encode_prompts(["a cat"])).square().mean().backward()
    optimizer.step()
    after = {
        name.replace(".base_layer.", "."): weight
        for name, weight in model.state_dict().items()
        if "lora_" not in name
    }
    assert after.keys() == frozen.keys()
    assert all(torch.equal(after[name], frozen[name]) for name in frozen)
    assert any(layer.lora_B["default"].weight.any() for layer in lora_layers(model).values())


@pytest.mark.parametrize(
    ("target_modules", "unet", "text_encoder"),
    # SD 1's 16 transformers, 12 text layers; 22 residual blocks, 14 with a shortcut, 6 samplers
    [
        ("attention", 16 * 8, 12 * 4),
        ("attention+feed_forward", 16 * 12, 12 * 6),
        ("all", 16 * 12 + 22 * 3 + 14 + 6, 12 * 6),
    ],
)
def test_presets_tune_what_they_say(sd1_model, target_modules, unet, text_encoder):
    model = sd1_model
    add_lora(model, rank=1, alpha=1.0, target_modules=target_modules, text_encoder=True)
    assert len(lora_layers(model.unet)) == unet
    assert len(lora_layers(model.text_encoders)) == text_encoder
    assert not lora_layers(model.vae)


def test_a_list_of_names_is_shared_out_to_the_parts(model):
    names = ["to_q", "to_v", "q_proj", "v_proj"]
    add_lora(model, rank=16, alpha=27.0, target_modules=names, text_encoder=True)
    assert {name.rsplit(".", 1)[-1] for name in lora_layers(model.unet)} == {"to_q", "to_v"}
    found = {name.rsplit(".", 1)[-1] for name in lora_layers(model.text_encoders)}
    assert found == {"q_proj", "v_proj"}


def test_the_scale_is_alpha_over_rank_and_the_text_encoder_may_have_its_own(model):
    add_lora(
        model,
        rank=8,
        alpha=4.0,
        text_encoder=True,
        text_encoder_rank=16,
        text_encoder_alpha=24.0,
    )
    assert {layer.scaling["default"] for layer in lora_layers(model.unet).values()} == {0.5}
    text_layers = lora_layers(model.text_encoders).values()
    assert {layer.scaling["default"] for layer in text_layers} == {1.5}
    assert {layer.lora_A["default"].weight.shape[0] for layer in text_layers} == {16}


def test_the_initial_matrices_follow_from_the_seed_alone(base):
    def initial(seed: int, global_seed: int, **arguments):
        model = copy.deepcopy(base)
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        add_lora(model, rank=4, alpha=4.0, seed=seed, **arguments)
        assert torch.equal(torch.get_rng_state(), state)
        return LoRAAdapter.from_model(model).weights["unet"]

    first = initial(7, global_seed=0)
    again = initial(7, global_seed=1)
    more = initial(7, global_seed=2, target_modules="all", text_encoder=True)
    other = initial(8, global_seed=0)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(torch.equal(first[key], more[key]) for key in first)
    downs = [key for key in first if "lora_A" in key]
    assert not any(torch.equal(first[key], other[key]) for key in downs)
    assert len({tuple(first[key].flatten()[:4].tolist()) for key in downs}) == len(downs)


def test_the_initial_matrices_are_uniform_as_pefts(model):
    add_lora(model, rank=64, alpha=1.0)
    layer = lora_layers(model.unet)["mid_block.attentions.0.transformer_blocks.0.attn1.to_q"]
    down, bound = layer.lora_A["default"].weight.detach(), 1 / math.sqrt(layer.in_features)
    assert down.abs().max() <= bound
    assert down.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not layer.lora_B["default"].weight.any()


def test_without_adapter_is_the_base_and_restores_what_was(base, model, predict, train):
    add_lora(model, rank=4, alpha=4.0, text_encoder=True)
    train(model)
    frozen = lora_parameters(model)[0].requires_grad_(False)
    tuned = predict(model)
    with without_adapter(model):
        assert torch.equal(predict(model), predict(base))
    assert torch.equal(predict(model), tuned)
    assert not torch.equal(tuned, predict(base))
    assert not frozen.requires_grad
    assert all(parameter.requires_grad for parameter in lora_parameters(model)[1:])


def test_without_adapter_restores_after_an_error_and_needs_no_adapter(model, predict, train):
    with without_adapter(model):
        pass
    add_lora(model, rank=4, alpha=4.0)
    train(model)
    tuned = predict(model)
    with pytest.raises(KeyboardInterrupt), without_adapter(model):
        raise KeyboardInterrupt
    assert torch.equal(predict(model), tuned)


def test_from_model_copies(model, train):
    add_lora(model, rank=4, alpha=2.0, text_encoder=True)
    adapter = LoRAAdapter.from_model(model)
    before = {k: v.clone() for k, v in adapter.weights["unet"].items()}
    train(model)
    assert all(torch.equal(adapter.weights["unet"][key], before[key]) for key in before)
    assert adapter.weights.keys() == adapter.configs.keys() == {"unet", "text_encoder"}
    assert (adapter.configs["unet"].r, adapter.configs["unet"].lora_alpha) == (4, 2.0)


def test_from_model_needs_an_adapter(model):
    with pytest.raises(ValueError, match="to have an adapter"):
        LoRAAdapter.from_model(model)


def test_parts_have_the_names_of_diffusers_pipelines(base):
    parts = tunable_parts(base)
    assert list(parts) == ["unet", "text_encoder"]
    assert parts["text_encoder"] is base.pipeline().text_encoder


def test_names_that_are_in_no_module_are_listed(model):
    with pytest.raises(ValueError, match="unet, but there is no `to_w`, `q_proj`"):
        add_lora(model, rank=4, alpha=4.0, target_modules=["to_q", "to_w", "q_proj"])
    with pytest.raises(ValueError, match="a module of the text_encoder, but none of `to_q`"):
        add_lora(model, rank=4, alpha=4.0, target_modules=["to_q"], text_encoder=True)
    assert not lora_parameters(model)


def test_text_encoder_arguments_are_checked_by_their_own_names(model):
    with pytest.raises(ValueError, match="`text_encoder_rank`"):
        add_lora(model, rank=4, alpha=4.0, text_encoder=True, text_encoder_rank=0)
    with pytest.raises(ValueError, match="`text_encoder_alpha`"):
        add_lora(model, rank=4, alpha=4.0, text_encoder=True, text_encoder_alpha=-1.0)


def test_a_second_adapter_is_refused(model):
    add_lora(model, rank=4, alpha=4.0)
    with pytest.raises(ValueError, match="no adapter yet"):
        add_lora(model, rank=4, alpha=4.0)
