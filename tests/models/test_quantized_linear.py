"""A quantised layer computes as a linear layer of its rounded weight, forwards and backwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sdtune.models.quantized_linear import Int8Linear, NF4Linear, QuantizedLinear

KINDS = [NF4Linear, Int8Linear]
ROUNDING = {NF4Linear: 0.11, Int8Linear: 0.01}
"""Largest norm of the error of normal weights, relative to theirs."""

# rows that bitsandbytes' kernel for AVX-512 restores wrongly, rows in a block, blocks in a row
SHAPES = [(6, 4), (16, 16), (33, 48), (5, 96), (24, 160), (64, 320)]


def linear(out_features: int, in_features: int, dtype: torch.dtype = torch.float32) -> nn.Linear:
    layer = nn.Linear(in_features, out_features, dtype=dtype)
    generator = torch.Generator().manual_seed(out_features * in_features)
    with torch.no_grad():
        for each in layer.parameters():
            each.copy_(torch.randn(each.shape, generator=generator))
    return layer.requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_is_near_the_given_one(
    kind: type[QuantizedLinear], shape: tuple[int, int], dtype: torch.dtype
) -> None:
    exact = linear(*shape, dtype)
    weight = kind(exact).weight
    assert (weight.shape, weight.dtype) == (shape, torch.float32)
    error = (weight - exact.weight.float()).norm() / exact.weight.float().norm()
    assert 0 < error < ROUNDING[kind]


def test_nf4_is_its_levels_times_its_scales() -> None:
    from bitsandbytes.functional import dequantize_blockwise, get_4bit_type, quantize_4bit

    exact = linear(33, 48)
    packed, state = quantize_4bit(exact.weight, compress_statistics=True, quant_type="nf4")
    levels = torch.stack([packed >> 4, packed & 15], dim=1).flatten().long()
    scales = dequantize_blockwise(state.absmax, state.state2) + state.offset
    expected = get_4bit_type("nf4", device="cpu")[levels] * scales.repeat_interleave(64)[: 33 * 48]
    torch.testing.assert_close(NF4Linear(exact).weight, expected.view(33, 48), rtol=0, atol=0)


def test_nf4_gives_what_bitsandbytes_own_layer_gives() -> None:
    from bitsandbytes.nn import LinearNF4

    exact = linear(24, 320)  # rows of whole blocks, which its own layer restores rightly
    other = LinearNF4(320, 24)
    other.load_state_dict(exact.state_dict())
    inputs = torch.randn(2, 320, generator=torch.Generator().manual_seed(0))
    found, expected = NF4Linear(exact)(inputs), other.to("cpu")(inputs)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_both_passes_are_a_linear_layers_of_that_weight(kind: type[QuantizedLinear]) -> None:
    exact = linear(24, 160)
    layer = kind(exact)
    layer.bias.requires_grad_(True)
    rounded = copy.deepcopy(exact)
    rounded.weight.data = layer.weight
    found, expected = (_passes(each, torch.float32) for each in (layer, rounded))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_computes_in_its_type_and_keeps_the_bias(kind: type[QuantizedLinear]) -> None:
    layer = kind(linear(24, 160))
    bias = layer.bias
    with torch.autocast("cpu", torch.bfloat16):
        output = layer(torch.ones(1, 160))
    assert output.dtype == torch.bfloat16
    assert layer.bias is bias
    assert bias.dtype == torch.float32
    assert layer(torch.ones(1, 160)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_no_pass_keeps_the_weight(kind: type[QuantizedLinear]) -> None:
    layer = kind(linear(64, 320))
    held = {each.untyped_storage().data_ptr() for each in layer.buffers()}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda each: each):
        layer(torch.ones(1, 320, requires_grad=True)).sum()
    assert {each.untyped_storage().data_ptr() for each in kept} <= held


@pytest.mark.parametrize("kind", KINDS)
def test_casts_copies_and_moves_do_not_reach_the_bytes(kind: type[QuantizedLinear]) -> None:
    layer = kind(linear(24, 160))
    weight = layer.weight
    assert not any(each.is_floating_point() for each in layer.buffers())
    assert copy.deepcopy(layer).to(torch.bfloat16).half().weight.equal(weight)
    assert [name for name, _ in layer.named_parameters()] == ["bias"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_without_values_it_is_as_large(kind: type[QuantizedLinear], shape: tuple[int, int]) -> None:
    with torch.device("meta"):
        hollow = kind(nn.Linear(shape[1], shape[0]))
    held = kind(linear(*shape))
    sizes = [(name, each.shape, each.dtype) for name, each in held.named_buffers()]
    assert [(name, each.shape, each.dtype) for name, each in hollow.named_buffers()] == sizes


def _passes(layer: nn.Linear, dtype: torch.dtype) -> list[Tensor]:
    layer.bias.requires_grad_(True)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 3, layer.in_features, generator=generator, dtype=dtype)
    inputs.requires_grad_(True)
    output = layer(inputs)
    weights = torch.randn(output.shape, generator=generator, dtype=dtype)
    (output * weights).sum().backward()
    assert inputs.grad is not None
    assert layer.bias.grad is not None
    return [output.detach(), inputs.grad, layer.bias.grad]
