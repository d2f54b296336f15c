from __future__ import annotations

import pytest
import torch

from sdtune.adapters.keys_values import (
    CrossAttentionAdapter,
    add_tuned_projections,
    projection_names,
    remove_tuned_projections,
    tuned_projections,
    without_tuned_projections,
)
from sdtune.models import StableDiffusion


def test_fresh_projections_change_nothing_and_alone_learn(model, base, predict) -> None:
    add_tuned_projections(model)
    layers = tuned_projections(model)
    assert list(layers) == projection_names(base)
    learning = [name for name, each in model.named_parameters() if each.requires_grad]
    assert learning == [f"unet.{name}.weight" for name in layers]
    assert torch.equal(predict(model), predict(base))
    assert model.fingerprint("unet") == base.fingerprint("unet")


def test_stable_diffusion_1_has_sixteen_cross_attentions(sd1_model) -> None:
    assert len(projection_names(sd1_model)) == 2 * 16  # keys and values


def test_they_can_be_switched_off_and_taken_out(model, base, predict) -> None:
    add_tuned_projections(model)
    for layer in tuned_projections(model).values():
        layer.weight.data *= 3
    tuned, untouched = predict(model), predict(base)
    assert not torch.allclose(tuned, untouched, atol=1e-3)
    with without_tuned_projections(model):
        assert torch.equal(predict(model), untouched)
    assert torch.equal(predict(model), tuned)
    remove_tuned_projections(model)
    assert torch.equal(predict(model), untouched)
    assert model.unet.state_dict().keys() == base.unet.state_dict().keys()


def test_weights_are_float32_on_a_base_of_half_precision(model, predict) -> None:
    model.to(torch.bfloat16)
    before = predict(model)
    add_tuned_projections(model)
    assert {layer.weight.dtype for layer in tuned_projections(model).values()} == {torch.float32}
    after = predict(model)
    assert after.dtype == torch.bfloat16
    torch.testing.assert_close(after, before, rtol=0.05, atol=0.05)


def test_a_copy_does_not_follow_further_training(model) -> None:
    with pytest.raises(ValueError, match="Expected `model` to have tuned keys and values"):
        CrossAttentionAdapter.from_model(model)
    add_tuned_projections(model)
    adapter = CrossAttentionAdapter.from_model(model)
    name, layer = next(iter(tuned_projections(model).items()))
    layer.weight.data += 1
    assert not torch.equal(adapter.weights[name], layer.weight)


def test_a_model_without_prompts_is_refused(model: StableDiffusion) -> None:
    for module in model.unet.modules():
        if hasattr(module, "attn2"):
            module.attn2 = None
    with pytest.raises(ValueError, match=r"to attend to prompts.*`attn2.to_k` or `attn2.to_v`"):
        add_tuned_projections(model)
