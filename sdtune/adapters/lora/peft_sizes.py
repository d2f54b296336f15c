"""Which matrices PEFT makes for a LoHa or LoKr: LyCORIS has more ways to cut a weight up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sdtune.adapters.lora.updates import ModuleUpdate

__all__ = ["least_rank", "peft_factor", "peft_makes"]


def peft_factor(modules: Mapping[str, ModuleUpdate]) -> int:
    """Find the `decompose_factor` by which PEFT cuts a LoKr's weights up as these are.

    Args:
        modules: Module -> a LoKr's update.

    Returns:
        The factor; -1, PEFT's default, if none gives all of them.
    """
    sides = {side for each in modules.values() for side in _first(each)}
    for factor in (-1, *sorted(sides)):
        if all(_is_cut(each, factor) for each in modules.values()):
            return factor
    return -1


def peft_makes(config: Any, update: ModuleUpdate) -> bool:
    """Tell whether PEFT makes matrices of these sizes, and so can read them.

    Args:
        config: PEFT's configuration of the part.
        update: A module's.

    Returns:
        Whether it does; always, if it is a LoRA.
    """
    tensors = update.tensors
    if update.adapter_type == "loha":
        return "hada_t1" not in tensors or bool(config.use_effective_conv2d)
    if update.adapter_type == "lora":
        return True
    first = _first(update)
    is_whole = (
        not (config.decompose_both and update.rank < max(first) / 2),
        update.rank >= max(_second(update)) / 2,
    )
    return (
        _is_cut(update, config.decompose_factor)
        and is_whole == ("lokr_w1" in tensors, "lokr_w2" in tensors)
        and ("lokr_t2" not in tensors or bool(config.use_effective_conv2d))
    )


def least_rank(update: ModuleUpdate) -> int:
    """Return the least rank at which PEFT keeps the second matrix of a LoKr whole.

    Args:
        update: A module's, both of whose matrices are whole, so that no file says the rank.

    Returns:
        1 or more.
    """
    return max(1, math.ceil(max(_second(update)) / 2))


def _is_cut(update: ModuleUpdate, factor: int) -> bool:
    from peft.tuners.lokr.layer import factorization

    first, second = _first(update), _second(update)
    whole = (a * b for a, b in zip(first, second, strict=True))
    return tuple(factorization(each, factor)[0] for each in whole) == first


def _first(update: ModuleUpdate) -> tuple[int, int]:
    tensors = update.tensors
    if "lokr_w1" in tensors:
        return tensors["lokr_w1"].shape[0], tensors["lokr_w1"].shape[1]
    return tensors["lokr_w1_a"].shape[0], tensors["lokr_w1_b"].shape[1]


def _second(update: ModuleUpdate) -> tuple[int, int]:
    """Size of the second matrix, without a convolution's kernel, which is in it."""
    tensors = update.tensors
    if "lokr_w2" in tensors:
        return tensors["lokr_w2"].shape[0], tensors["lokr_w2"].shape[1]
    if "lokr_t2" in tensors:
        return tensors["lokr_w2_a"].shape[1], tensors["lokr_w2_b"].shape[1]
    return tensors["lokr_w2_a"].shape[0], tensors["lokr_w2_b"].shape[1] // update.kernel
