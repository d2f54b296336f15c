import copy

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor

from sdtune.adapters import verification
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, add_lora
from sdtune.adapters.verification import (
    AdapterVerificationError,
    SharedCopy,
    check_same_output,
    evaluating,
    frozen_copy,
    prediction,
)
from sdtune.adapters.words import add_token_embedding


def test_every_module_gets_its_own_mode_back(model):
    model.train()
    model.unet.conv_in.eval()
    modes = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == modes


def test_predictions_are_the_same_until_a_weight_differs(model, train):
    other = copy.deepcopy(model)
    with evaluating(model), evaluating(other):
        first = prediction(model)
        torch.manual_seed(1)
        torch.testing.assert_close(prediction(other), first, rtol=0, atol=0)
        assert not first.requires_grad
        assert 0.1 < first.std() < 10
        add_lora(other, rank=2, alpha=2.0, text_encoder=True)
        train(other)
        assert (prediction(other) - first).abs().max() > 1e-3


def test_a_frozen_copy_shares_all_weights_and_no_parameter(model, predict):
    add_lora(model, rank=2, alpha=2.0, text_encoder=True)
    [rows] = add_token_embedding(model, "<erica>", "c")
    model.text_encoders.bfloat16(), model.unet.bfloat16()
    rows.data = rows.data.float() + 1e-4
    fresh = frozen_copy(model)
    pairs = list(zip(model.parameters(), fresh.parameters(), strict=True))
    assert all(own is not other and own.data_ptr() == other.data_ptr() for own, other in pairs)
    assert not any(other.requires_grad for _, other in pairs)
    before = [(own.dtype, own.clone()) for own, _ in pairs]
    # what readers do to a model that they are given
    fresh.text_encoders.to(torch.bfloat16)
    fresh.unet.to(torch.float64)
    for _, other in pairs:
        other.data = torch.zeros_like(other)
    fresh.tokenizers[0].add_tokens("<new>")
    fresh.substitutions.clear()
    assert all(own.dtype == dtype for (own, _), (dtype, _) in zip(pairs, before, strict=True))
    assert all(
        torch.equal(own, weight) for (own, _), (_, weight) in zip(pairs, before, strict=True)
    )
    assert "<new>" not in model.tokenizers[0].get_vocab()
    assert model.substitutions


@pytest.mark.parametrize(
    ("dtype", "passes", "fails"),
    [(torch.float32, 9e-4, 1.2e-3), (torch.float16, 3.5e-3, 4.5e-3), (torch.bfloat16, 0.03, 0.033)],
)
def test_outputs_are_compared_as_precisely_as_they_were_computed(dtype, passes, fails):
    expected = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    direction = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    direction *= expected.norm() / direction.norm()
    check_same_output("file", "UNet", expected, expected + passes * direction, dtype)
    for wrong in (fails * direction, float("nan") * direction):
        with pytest.raises(AdapterVerificationError, match=r"file to do .* UNet's output differ"):
            check_same_output("file", "UNet", expected, expected + wrong, dtype)


def test_one_copy_serves_the_files_of_an_adapter(model, train, tmp_path, monkeypatch):
    add_lora(model, rank=2, alpha=2.0, text_encoder=True)
    train(model)
    copies = []
    monkeypatch.setattr(
        verification, "frozen_copy", lambda *given: copies.append(frozen_copy(*given)) or copies[-1]
    )
    adapters = AdapterSet(LoRAAdapter.from_model(model))
    assert adapters.verify(adapters.save(tmp_path), model) < 1e-5
    assert len(adapters._places(tmp_path, {})) == 3
    assert len(copies) == 1


def written_into(model):
    model.unet.conv_in.bias.mul_(1)


def cast(model):
    model.unet.conv_in.bias.data = model.unet.conv_in.bias.data.clone()


def hooked(model):
    model.unet.conv_in.register_forward_hook(lambda *_: None)


def thawed(model):
    model.unet.conv_in.bias.requires_grad_(True)


def exchanged(model):
    model.unet.conv_in = copy.copy(model.unet.conv_in)


def processed(model):
    model.unet.set_attn_processor(AttnProcessor())


def told_a_word(model):
    model.tokenizers[0].add_tokens(["<left>"])


@pytest.mark.parametrize(
    "leave", [written_into, cast, hooked, thawed, exchanged, processed, told_a_word]
)
def test_a_copy_in_which_a_reader_left_something_is_not_used_again(model, leave):
    add_lora(model, rank=2, alpha=2.0, text_encoder=True)
    shared = SharedCopy(model)
    first = shared.without(LoRAAdapter.remove)
    assert shared.without(LoRAAdapter.remove) is first
    leave(first)
    second = shared.without(LoRAAdapter.remove)
    assert second is not first
    assert shared.without(LoRAAdapter.remove) is second
    assert shared.without(lambda _: None) is not second  # it would lack what it has to keep
