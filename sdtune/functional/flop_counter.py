"""Floating-point operations, as torch counts them, of a CPU's attention too."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

__all__ = ["flop_counter"]

_aten = torch.ops.aten


def flop_counter() -> FlopCounterMode:
    """Make torch's counter of FLOP, which then also knows a CPU's attention."""
    return FlopCounterMode(
        display=False,
        custom_mapping={
            _aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
            _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flop,
        },
    )


def _attention_flop(
    query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    return int(sdpa_flop_count(query, key, value))


def _attention_backward_flop(
    gradient: Any, query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any
) -> int:
    return int(sdpa_backward_flop_count(gradient, query, key, value))
