"""Leaves the casts of an adapter's inputs to autocast, where that is on."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from sdtune.functional import is_autocast_on

__all__ = ["leave_casts_to_autocast"]


def leave_casts_to_autocast(layer: Any) -> None:
    """Let a layer of PEFT's hand its input on as it is where autocast casts it anyway.

    PEFT casts what goes into float32 matrices to float32, and autocast casts it, and them, to half
    precision: twice the copies, and a float32 copy of each input kept for the backward pass, for
    the same result to the last bit. DoRA and dropout keep PEFT's cast: what they do to an input
    outside of the matrices would be rounded.

    Args:
        layer: A layer that wraps a frozen one, in place.
    """
    from peft.tuners.lora import LoraLayer

    if not isinstance(layer, LoraLayer) or layer.lora_variant:
        return
    if all(isinstance(each, nn.Identity) for each in layer.lora_dropout.values()):
        wrapped: Any = layer  # a method of this one layer, not of its class
        wrapped._cast_input_dtype = MethodType(_cast_input_dtype, layer)


def _cast_input_dtype(layer: Any, x: Tensor | None, dtype: torch.dtype) -> Any:
    if x is None or x.dtype == dtype:
        return x
    if is_autocast_on(x.device.type):
        return x
    return type(layer)._cast_input_dtype(layer, x, dtype)
