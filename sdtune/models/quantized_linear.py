"""A frozen linear layer whose weight is kept in 4 or 8 bits, quantised by bitsandbytes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdtune.functional import is_autocast_on

__all__ = ["Int8Linear", "NF4Linear", "QuantizedLinear"]

_BLOCK = 64  # numbers of one scale
_BLOCK_OF_SCALES = 256  # scales of one scale of theirs


class QuantizedLinear(nn.Linear):
    """Computes as a linear layer of the weight that is nearest to the given one.

    What is kept are buffers of bytes: they are moved with the module, shared by copies and counted
    as any other, and no cast to another floating type reaches them. The weight is made anew from
    them in the forward pass and again in the backward one, in the type that is computed in, and is
    held in neither. What comes in is not rounded, so that training, samples and scores are of one
    network.

    bitsandbytes' own layers keep half of this beside the module, cast a bias in place to the type
    of the latest input, and on a CPU with AVX-512 restore rows that are no multiple of 64 wrongly.

    Args:
        linear: The layer in whose place this one stands; its bias is taken over as it is.
        device: What quantises; None is where the layer is, and what is kept goes there.
    """

    stored: ClassVar[tuple[str, ...]]
    """Names of the buffers."""

    def __init__(self, linear: nn.Linear, device: torch.device | None = None) -> None:
        nn.Module.__init__(self)  # a linear layer's own would draw a weight
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        self.register_parameter("bias", linear.bias)
        weight = linear.weight.detach()
        if weight.is_meta:
            values = self._sized(weight.shape)
        else:
            values = self._quantized(weight.to(device or weight.device))
        for name, value in zip(self.stored, values, strict=True):
            self.register_buffer(name, value.to(weight.device).contiguous().view(torch.uint8))
        self.train(linear.training)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weight, (out, in) float32: made anew at every look, and a copy."""
        return self._restored(self._stored_tensors(), self._shape, torch.float32)

    def forward(self, input: Tensor) -> Tensor:
        """Project.

        Args:
            input: (..., in).

        Returns:
            (..., out), in autocast's type where that is on, or else in the input's.
        """
        dtype = _computed_in(input)
        bias = None if self.bias is None else self.bias.to(dtype)
        shape, stored = self._shape, self._stored_tensors()
        projected: Tensor = _Projection.apply(  # type: ignore[no-untyped-call]
            input.to(dtype), bias, type(self), shape, *stored
        )
        return projected

    @property
    def _shape(self) -> tuple[int, int]:
        return self.out_features, self.in_features

    def _stored_tensors(self) -> list[Tensor]:
        # by name each takes as long as a product on a GPU
        found: list[Any] = [self._buffers[name] for name in self.stored]
        return found

    @staticmethod
    @abstractmethod
    def _quantized(weight: Tensor) -> Sequence[Tensor]:
        """Quantise (out, in) of a floating type: a value for each name in `stored`."""

    @staticmethod
    @abstractmethod
    def _sized(shape: torch.Size) -> Sequence[Tensor]:
        """Make what `_quantized` makes of a weight on the meta device: bytes without values."""

    @staticmethod
    @abstractmethod
    def _restored(stored: Sequence[Tensor], shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        """Make (out, in) of a floating type from the buffers."""


class NF4Linear(QuantizedLinear):
    """Weights in 4 bits (Dettmers et al. 2023, https://arxiv.org/abs/2305.14314).

    Each is one of 16 levels, placed as a normal distribution's, times the scale of its block of 64;
    the scales are in 8 bits, with one float32 for 256 of them (double quantisation): 4.13 bits a
    weight.
    """

    stored = ("levels", "scales", "scales_of_scales", "mean_scale", "table")

    @staticmethod
    def _quantized(weight: Tensor) -> Sequence[Tensor]:
        from bitsandbytes.functional import quantize_4bit

        levels, state = quantize_4bit(
            weight.contiguous(), blocksize=_BLOCK, compress_statistics=True, quant_type="nf4"
        )
        nested = state.state2
        return levels, state.absmax, nested.absmax, state.offset.reshape(1), nested.code

    @staticmethod
    def _sized(shape: torch.Size) -> Sequence[Tensor]:
        blocks = math.ceil(shape.numel() / _BLOCK)
        nested = math.ceil(blocks / _BLOCK_OF_SCALES)
        return _without_values((shape.numel() // 2, 1), (blocks,), (4 * nested,), (4,), (4 * 256,))

    @staticmethod
    def _restored(stored: Sequence[Tensor], shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        from bitsandbytes.functional import QuantState, dequantize_4bit

        levels, scales, scales_of_scales, mean_scale, table = stored
        nested = QuantState(
            absmax=scales_of_scales.view(torch.float32),
            code=table.view(torch.float32),
            blocksize=_BLOCK_OF_SCALES,
            dtype=torch.float32,
        )
        state = QuantState(
            absmax=scales,
            shape=torch.Size((1, math.prod(shape))),  # of one row: its length alone is a multiple
            blocksize=_BLOCK,
            quant_type="nf4",
            dtype=dtype,
            offset=mean_scale.view(torch.float32)[0],
            state2=nested,
        )
        weight: Tensor = dequantize_4bit(levels, state)
        return weight.view(shape)


class Int8Linear(QuantizedLinear):
    """Weights in 8 bits, with a scale for each row (Dettmers et al. 2022).

    As LLM.int8 keeps them (https://arxiv.org/abs/2208.07339), whose rounding of what comes in is
    left out: it is for matrix products in 8 bits, which wait for the device at every layer to look
    for outliers, and a gradient passes it as if it were not there.
    """

    stored = ("levels", "scales")

    @staticmethod
    def _quantized(weight: Tensor) -> Sequence[Tensor]:
        from bitsandbytes.functional import int8_vectorwise_quant

        levels, scales, _ = int8_vectorwise_quant(weight.to(torch.float16).contiguous())
        return levels, scales / 127.0

    @staticmethod
    def _sized(shape: torch.Size) -> Sequence[Tensor]:
        return _without_values(tuple(shape), (4 * shape[0],))

    @staticmethod
    def _restored(stored: Sequence[Tensor], shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
        levels, scales = stored
        steps = scales.view(torch.float32).unsqueeze(1)
        return levels.view(torch.int8).view(shape).to(dtype).mul_(steps)


class _Projection(torch.autograd.Function):
    """A product with a weight that neither pass keeps."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        bias: Tensor | None,
        kind: type[QuantizedLinear],
        shape: tuple[int, int],
        *stored: Tensor,
    ) -> Tensor:
        ctx.kind, ctx.shape = kind, shape
        ctx.save_for_backward(*stored)  # which are the layer's own, and no copies
        return F.linear(input, kind._restored(stored, shape, input.dtype), bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        of_input = of_bias = None
        stored = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            of_input = gradient @ ctx.kind._restored(stored, ctx.shape, gradient.dtype)
        if ctx.needs_input_grad[1]:
            of_bias = gradient.flatten(0, -2).sum(0)
        return of_input, of_bias, None, None, *([None] * len(stored))


def _without_values(*shapes: tuple[int, ...]) -> list[Tensor]:
    return [torch.empty(shape, dtype=torch.uint8, device="meta") for shape in shapes]


def _computed_in(input: Tensor) -> torch.dtype:
    kind = input.device.type
    if is_autocast_on(kind):
        return torch.get_autocast_dtype(kind)
    return input.dtype
