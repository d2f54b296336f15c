"""LoRAs as what they add to weights: taken out of a model, weighed, added, cut and put back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from sdtune.adapters.lora.layers import (
    ADAPTER_NAME,
    inject_lora,
    lora_layers,
    lora_pair,
    tunable_parts,
)
from sdtune.functional import isolated_random_state
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
        for name, layer in lora_layers(module).items():
            if not hasattr(layer, "lora_A") or ADAPTER_NAME in layer.lora_magnitude_vector:
                what = "a DoRA" if hasattr(layer, "lora_A") else "a LoHa or LoKr"
                raise ValueError(
                    f"Expected {source} to be a plain LoRA, but it is {what}, which is no product "
                    "of two matrices: merge it into its base, and extract a LoRA from the two."
                )
            if getattr(layer.lora_B[ADAPTER_NAME], "bias", None) is not None:
                raise ValueError(
                    f"Expected {source} to be a plain LoRA, but its `{name}` has a bias, which is "
                    "no product of two matrices."
                )
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


@torch.no_grad()
def put_pairs(model: StableDiffusion, lora: Pairs) -> None:
    """Put a LoRA into a model, in place and frozen.

    Args:
        model: A bundle without one.
        lora: Pairs for it. Alpha is the rank that most modules have, in all of them: readers that
            know no alpha of a module's own get the same function.
    """
    from peft import LoraConfig

    parts = tunable_parts(model)
    for part, pairs in lora.items():
        ranks = {name: len(down) for name, (down, _) in pairs.items()}
        alpha = Counter(ranks.values()).most_common(1)[0][0]
        config = LoraConfig(
            r=alpha,
            lora_alpha=alpha,
            target_modules=list(pairs),
            rank_pattern={name: rank for name, rank in ranks.items() if rank != alpha},
        )
        with isolated_random_state():  # PEFT draws initial values, which are replaced
            inject_lora(parts[part], config)
        for name, layer in lora_layers(parts[part]).items():
            down, up = pairs[name]
            scaled = up * (ranks[name] / alpha)
            for weight, tensor in zip(lora_pair(layer), (down, scaled), strict=True):
                weight.data = tensor.reshape(weight.shape).to(weight.device)
            cast(nn.Module, layer).requires_grad_(False).eval()


def _rank(values: SingularValues, rank: int | None, share: float) -> int:
    most = len(values.values) if rank is None else rank
    return most if share == 1.0 else min(most, values.rank_of(share))


def _each(lora: Pairs) -> Iterator[tuple[str, str, Pair]]:
    for part, pairs in lora.items():
        for module, pair in pairs.items():
            yield part, module, pair
