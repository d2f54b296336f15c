"""Norms of a frozen half-precision network, in its own type also where autocast is on."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from sdtune.functional import is_autocast_on

__all__ = ["keep_norms_in_half"]


def keep_norms_in_half(module: nn.Module) -> None:
    """Take group and layer norms out of autocast, in place.

    On a GPU autocast runs a norm in float32: it copies input, weight and bias, and all up to the
    next convolution or projection is float32 too, twice the memory. A norm in half precision adds
    up in float32 inside of the kernel all the same; only its result is rounded, as it would be at
    the next layer. On a CPU autocast leaves norms alone, and this changes nothing.

    Args:
        module: A frozen network in half precision; float32 norms stay as they are.
    """
    for each in module.modules():
        if isinstance(each, nn.GroupNorm | nn.LayerNorm):
            each.forward = MethodType(_forward, each)  # type: ignore[method-assign]


def _forward(norm: Any, hidden_states: Tensor) -> Tensor:
    kind = hidden_states.device.type
    weight = norm.weight
    in_half = weight is not None and weight.dtype in (torch.float16, torch.bfloat16)
    if not in_half or not is_autocast_on(kind):
        result: Tensor = type(norm).forward(norm, hidden_states)
        return result
    with torch.autocast(kind, enabled=False):
        result = type(norm).forward(norm, hidden_states.to(weight.dtype))
    return result
