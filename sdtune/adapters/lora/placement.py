"""A LoRA from a file, whatever its layout, put into a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.layers import inject_lora, lora_layers, lora_pair, tunable_parts
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["LoRAMatrices", "matrices_of", "place_lora", "text_module_name"]

_TEXT_LEVEL = "text_model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"


class LoRAMatrices(dict[str, tuple[Tensor, Tensor, float]]):
    """Module name -> down (r, in[, k, k]), up (out, r[, 1, 1]) and alpha, of one part."""


def place_lora(model: StableDiffusion, parts: Mapping[str, LoRAMatrices], path: str | Path) -> None:
    """Put a LoRA into a model, in place and frozen.

    Args:
        model: A bundle without an adapter.
        parts: Part, as `tunable_parts` names it -> its matrices.
        path: Where they come from, for messages.

    Raises:
        ValueError: If the model lacks a part or a module, or one of another shape is in its place.
    """
    tunable = tunable_parts(model)
    for name, matrices in parts.items():
        if name not in tunable:
            raise ValueError(f"{_unfit(model, path)} it tunes a `{name}`, which the base lacks.")
        _check_shapes(model, tunable[name], matrices, path)
    with isolated_random_state():  # PEFT draws initial values, which are replaced
        for name, matrices in parts.items():
            _place(tunable[name], matrices)


def text_module_name(module: str, part: nn.Module) -> str:
    """Name a text encoder's module as the installed transformers does.

    Args:
        module: With or without the level `text_model.`, which transformers 5.6 took out.
        part: The text encoder.

    Returns:
        The name in this text encoder.
    """
    module = module.removeprefix(_TEXT_LEVEL)
    return f"{_TEXT_LEVEL}{module}" if hasattr(part, "text_model") else module


def _unfit(model: StableDiffusion, path: str | Path) -> str:
    return f"Expected {path} to be a LoRA for a base of the architecture of {model.source}, but"


def _check_shapes(
    model: StableDiffusion, part: nn.Module, matrices: LoRAMatrices, path: str | Path
) -> None:
    modules = dict(part.named_modules())
    for name, (down, up, _) in matrices.items():
        weight = getattr(modules.get(name), "weight", None)
        if not isinstance(weight, Tensor):
            raise ValueError(f"{_unfit(model, path)} that has no `{name}`.")
        found, wanted = (up.shape[0], down[0].numel()), (weight.shape[0], weight[0].numel())
        if found != wanted:
            raise ValueError(
                f"{_unfit(model, path)} its `{name}` is {found[0]} x {found[1]} and not "
                f"{wanted[0]} x {wanted[1]}: give the base that it was trained on."
            )


@torch.no_grad()
def _place(part: nn.Module, matrices: LoRAMatrices) -> None:
    from peft import LoraConfig

    ranks = {name: len(down) for name, (down, _, _) in matrices.items()}
    alphas = {name: alpha for name, (_, _, alpha) in matrices.items()}
    rank = Counter(ranks.values()).most_common(1)[0][0]
    alpha = Counter(alphas.values()).most_common(1)[0][0]
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # a float serves as well
        target_modules=list(matrices),
        rank_pattern={name: each for name, each in ranks.items() if each != rank},
        alpha_pattern={name: each for name, each in alphas.items() if each != alpha},
    )
    inject_lora(part, config)
    for name, layer in lora_layers(part).items():
        down, up, _ = matrices[name]
        for weight, tensor in zip(lora_pair(layer), (down, up), strict=True):
            # a 1 x 1 convolution is a linear layer in some files
            weight.copy_(tensor.reshape(weight.shape))
        cast(nn.Module, layer).requires_grad_(False).eval()


def matrices_of(adapter: LoRAAdapter, part: str) -> LoRAMatrices:
    """Take a part's matrices out of an adapter.

    Args:
        adapter: A LoRA.
        part: One of its parts.

    Returns:
        Its matrices with their alphas.

    Raises:
        ValueError: If it is a DoRA, whose magnitudes the other layouts have no common name for.
    """
    config, weights = adapter.configs[part], adapter.weights[part]
    if config.use_dora:
        raise ValueError("Expected a LoRA without DoRA, whose magnitudes this file cannot hold.")
    names = [key.removesuffix(_DOWN) for key in weights if key.endswith(_DOWN)]
    return LoRAMatrices(
        {name: (weights[name + _DOWN], weights[name + _UP], config.lora_alpha) for name in names}
    )
