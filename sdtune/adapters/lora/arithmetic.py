"""LoRAs as what they add to weights: taken out of a model, weighed, added, cut and put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers, lora_pair, tunable_parts
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.lora.updates import ModuleUpdate
from sdtune.functional.low_rank import SingularValues, singular_values
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["Kept", "Pair", "Pairs", "added", "cut", "put_pairs", "take_pairs"]

Pair = tuple[Tensor, Tensor]
"""Down (r, in[, k, k]) and up (out, r[, 1, 1]), whose product is what is added to a weight."""

Pairs = Mapping[str, Mapping[str, Pair]]
"""Part, as `tunable_parts` names it -> module -> pair."""


@dataclass(frozen=True)
class Kept:
    """How much of a change is left.

    Attributes:
        share: Of the sum of squares over all modules, in [0, 1].
        least: The smallest such share of a module.
        module: Which one that is.
        ranks: Rank -> how many modules have it.
    """

    share: float
    least: float
    module: str
    ranks: Mapping[int, int]


def take_pairs(
    model: StableDiffusion, source: object = "the adapter"
) -> dict[str, dict[str, Pair]]:
    """Copy a LoRA out of a model, alpha / rank multiplied into it.

    Args:
        model: A bundle with a LoRA.
        source: What the LoRA is, for messages.

    Returns:
        Its pairs in float32, on the CPU.

    Raises:
        ValueError: If there is none, or it is no sum of products: a DoRA, LoHa or LoKr.
    """
    found: dict[str, dict[str, Pair]] = {}
    for part, module in tunable_parts(model).items():
        layers: dict[str, Any] = dict(lora_layers(module))
        for name, layer in layers.items():
            _check_plain(layer, name, source)
            down, up = (each.detach().cpu().float() for each in lora_pair(layer))
            found.setdefault(part, {})[name] = (down.clone(), up * layer.scaling[ADAPTER_NAME])
    if not found:
        raise ValueError(f"Expected {source} to be a LoRA, but it changes no module.")
    return found


def added(loras: Sequence[Pairs], weights: Sequence[float]) -> dict[str, dict[str, Pair]]:
    """Add LoRAs, exactly: the matrices are put side by side, so that ranks add.

    Args:
        loras: One or more.
        weights: What each is multiplied by.

    Returns:
        Pairs of every module of any.
    """
    found: dict[str, dict[str, list[Pair]]] = {}
    for lora, weight in zip(loras, weights, strict=True):
        for part, module, (down, up) in _each(lora):
            found.setdefault(part, {}).setdefault(module, []).append((down, up * weight))
    return {
        part: {
            name: (torch.cat([p[0] for p in pairs]), torch.cat([p[1] for p in pairs], dim=1))
            for name, pairs in modules.items()
        }
        for part, modules in found.items()
    }


def cut(
    lora: Pairs, rank: int | None = None, share: float = 1.0
) -> tuple[dict[str, dict[str, Pair]], Kept]:
    """Reduce a LoRA to lower ranks: the nearest ones, by singular values.

    Args:
        lora: Pairs.
        rank: No module has more than it; None for no limit.
        share: In (0, 1]: each module has the least rank that keeps this share of its own sum of
            squares, if `rank` lets it.

    Returns:
        Pairs, and how much they keep.
    """
    found: dict[str, dict[str, Pair]] = {}
    squares: dict[str, tuple[float, float]] = {}
    for part, module, (down, up) in _each(lora):
        values = singular_values(up.flatten(1), down.flatten(1))
        new_rank = _rank(values, rank, share)
        new_down, new_up = values.truncated(new_rank)
        found.setdefault(part, {})[module] = (
            new_down.reshape(-1, *down.shape[1:]).contiguous(),
            new_up.reshape(len(up), -1, *up.shape[2:]).contiguous(),
        )
        squares[f"{part}.{module}"] = (values.square(new_rank), values.square())
    return found, kept(squares, found)


def kept(squares: Mapping[str, tuple[float, float]], lora: Pairs) -> Kept:
    """Say how much of a change a LoRA keeps.

    Args:
        squares: Module -> sum of squares that is kept, and that there was.
        lora: The LoRA.

    Returns:
        The shares. Modules that do not change keep all.
    """
    shares = {name: left / whole if whole else 1.0 for name, (left, whole) in squares.items()}
    module = min(shares, key=lambda name: shares[name])
    whole = sum(each for _, each in squares.values())
    share = sum(left for left, _ in squares.values()) / whole if whole else 1.0
    ranks = Counter(len(down) for _, _, (down, _) in _each(lora))
    return Kept(min(1.0, share), min(1.0, shares[module]), module, dict(sorted(ranks.items())))


def put_pairs(model: StableDiffusion, lora: Pairs) -> None:
    """Put a LoRA into a model, in place and frozen.

    Args:
        model: A bundle without one.
        lora: Pairs for it. Alpha is each module's rank, so that nothing is multiplied by it.
    """
    updates = {
        part: {
            name: ModuleUpdate("lora", {"lora_A": down, "lora_B": up}, len(down), float(len(down)))
            for name, (down, up) in pairs.items()
        }
        for part, pairs in lora.items()
    }
    place_updates(tunable_parts(model), updates)


def _check_plain(layer: Any, name: str, source: object) -> None:
    if not hasattr(layer, "lora_A") or ADAPTER_NAME in layer.lora_magnitude_vector:
        what = "a DoRA" if hasattr(layer, "lora_A") else "a LoHa or LoKr"
        raise ValueError(
            f"Expected {source} to be a plain LoRA, but it is {what}, which is no product of two "
            "matrices: `sdtune extract` takes the nearest LoRA from it."
        )
    if layer.lora_B[ADAPTER_NAME].bias is not None:
        raise ValueError(
            f"Expected {source} to be a plain LoRA, but its `{name}` has a bias, which is no "
            "product of two matrices: `sdtune extract` takes the nearest LoRA from it."
        )


def _rank(values: SingularValues, rank: int | None, share: float) -> int:
    most = len(values.values) if rank is None else rank
    return most if share == 1.0 else min(most, values.rank_of(share))


def _each(lora: Pairs) -> Iterator[tuple[str, str, Pair]]:
    for part, pairs in lora.items():
        for module, pair in pairs.items():
            yield part, module, pair
