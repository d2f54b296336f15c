"""A LoRA from a file, whatever its layout, put into a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.lora.layers import ADAPTER_NAME, inject_lora, lora_layers
from sdtune.adapters.lora.peft_sizes import peft_factor
from sdtune.adapters.lora.updates import AdapterType, ModuleUpdate
from sdtune.functional.randomness import isolated_random_state

if TYPE_CHECKING:
    from peft.tuners.tuners_utils import BaseTunerLayer

__all__ = ["place_updates"]

_MAGNITUDE = "magnitude"


@torch.no_grad()
def place_updates(
    parts: Mapping[str, nn.Module],
    updates: Mapping[str, Mapping[str, ModuleUpdate]],
    dropout: float = 0.0,
    name: str = ADAPTER_NAME,
) -> list[BaseTunerLayer]:
    """Put a LoRA into a model, in place, in float32 and frozen.

    Args:
        parts: As `tunable_parts` names them, without an adapter of this name.
        updates: Part -> module -> update, which fit: see `read_updates`.
        dropout: Probability of dropping an input of the update while training.
        name: What PEFT calls it, in layers that several share.

    Returns:
        PEFT's layers that hold it.
    """
    filled = []
    with isolated_random_state():  # PEFT draws initial values, which are replaced
        for part, modules in updates.items():
            inject_lora(parts[part], _config(modules, dropout), name)
            for module, layer in lora_layers(parts[part]).items():
                if name not in cast(Any, layer).scaling:
                    continue
                update = modules[module.replace(".base_layer", "")]  # within another kind's layer
                if update.adapter_type == "lora":
                    _fill_lora(layer, update, name)
                else:
                    _fill_product(layer, update, name)
                cast(nn.Module, layer).requires_grad_(False).eval()
                filled.append(layer)
    return filled


def _config(modules: Mapping[str, ModuleUpdate], dropout: float) -> Any:
    from peft import LoHaConfig, LoKrConfig, LoraConfig

    ranks = {name: each.rank for name, each in modules.items()}
    alphas = {name: each.alpha for name, each in modules.items()}
    rank, alpha = (Counter(each.values()).most_common(1)[0][0] for each in (ranks, alphas))
    shared: dict[str, Any] = {
        "r": rank,
        "target_modules": list(modules),
        "rank_pattern": {name: each for name, each in ranks.items() if each != rank},
        "alpha_pattern": {name: each for name, each in alphas.items() if each != alpha},
    }
    held = {name for each in modules.values() for name in each.tensors}
    kind: AdapterType = next(iter(modules.values())).adapter_type
    if kind == "loha":
        return LoHaConfig(alpha=alpha, use_effective_conv2d="hada_t1" in held, **shared)  # type: ignore[arg-type]
    if kind == "lokr":
        return LoKrConfig(
            alpha=alpha,  # type: ignore[arg-type]  # a float serves as well
            use_effective_conv2d="lokr_t2" in held,
            decompose_both="lokr_w1_a" in held,
            decompose_factor=peft_factor(modules),
            **shared,
        )
    return LoraConfig(
        lora_alpha=alpha,  # type: ignore[arg-type]
        lora_dropout=dropout,
        use_dora=_MAGNITUDE in held,
        lora_bias="bias" in held,
        **shared,
    )


def _fill_lora(layer: Any, update: ModuleUpdate, name: str) -> None:
    _fill(layer.lora_A[name].weight, update.tensors["lora_A"])
    _fill(layer.lora_B[name].weight, update.tensors["lora_B"])
    if "bias" in update.tensors:
        _fill(layer.lora_B[name].bias, update.tensors["bias"])
    if _MAGNITUDE in update.tensors:
        _fill(layer.lora_magnitude_vector[name].weight, update.tensors[_MAGNITUDE])


def _fill(parameter: nn.Parameter, tensor: Tensor) -> None:
    # a 1 x 1 convolution is a linear layer in some files
    parameter.data = tensor.reshape(parameter.shape).to(parameter.device, torch.float32, copy=True)


def _fill_product(layer: Any, update: ModuleUpdate, name: str) -> None:
    """Take the file's own matrices: which are products, and how large, differs between programs."""
    device = layer.get_base_layer().weight.device
    for kind in layer.adapter_layer_names:
        matrices: nn.ParameterDict = getattr(layer, kind)
        if kind in update.tensors:
            tensor = update.tensors[kind].to(device, torch.float32, copy=True)
            matrices[name] = nn.Parameter(tensor, requires_grad=False)
        elif name in matrices:
            del matrices[name]
