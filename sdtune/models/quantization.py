"""Which layers of a frozen base are kept in 4 or 8 bits."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import nn

from sdtune.models.quantized_linear import Int8Linear, NF4Linear, QuantizedLinear

if TYPE_CHECKING:
    from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "Quantization",
    "check_quantization",
    "quantize_base",
    "quantized_layers",
]

Quantization = Literal["nf4", "int8"]
"""How frozen linear layers are kept, as diffusers' `BitsAndBytesConfig` calls it.

- `nf4`: `load_in_4bit` with `bnb_4bit_quant_type="nf4"` and `bnb_4bit_use_double_quant`.
- `int8`: `load_in_8bit`, without rounding what comes in.
"""

_LAYERS: Mapping[Quantization, type[QuantizedLinear]] = {"nf4": NF4Linear, "int8": Int8Linear}

_WRAPPED = re.compile(r"\.base_layer\b")  # as PEFT's layers call what they wrap

_NEVER = ("time_embedding", "add_embedding", "text_projection")
"""Names of what stays whole: small, and all that follows depends on it."""


def check_quantization(quantization: str | None) -> None:
    """Check that a base can be quantised.

    Args:
        quantization: As a recipe names it; None is not at all.

    Raises:
        ValueError: If there is no such one, or bitsandbytes is not installed.
    """
    if quantization is None:
        return
    if quantization not in get_args(Quantization):
        allowed = ", ".join(f"`{each}`" for each in get_args(Quantization))
        raise ValueError(
            f"Expected `quantization` to be one of {allowed}, or null, but got `{quantization}`."
        )
    if find_spec("bitsandbytes") is None:
        raise ValueError(
            f"Expected bitsandbytes to be installed for `quantization` {quantization}, but it is "
            "not: pip install bitsandbytes."
        )


def quantize_base(
    model: StableDiffusion,
    quantization: Quantization,
    *,
    text_encoders: bool = False,
    whole: Collection[str] = (),
    device: torch.device | None = None,
) -> None:
    """Keep the frozen linear layers of the UNet in fewer bits, in place.

    Convolutions, norms, embeddings, biases and the VAE stay in their type. The fingerprints stay
    the base's own. A model that is loaded on the CPU comes to a GPU quantised.

    Args:
        model: A base without adapters, with values or on the meta device.
        quantization: `nf4` or `int8`.
        text_encoders: Whether those of the text encoders too.
        whole: Ends of the names of the UNet's layers that stay as they are.
        device: What quantises, a layer at a time; None is where the model is. A GPU takes seconds
            for what takes a processor minutes, and rounds a few weights the other way.
    """
    model.take_fingerprints()
    for part in [model.unet, *(model.text_encoders if text_encoders else ())]:
        _quantize(part, _LAYERS[quantization], tuple(whole), device)


def quantized_layers(part: nn.Module) -> dict[Quantization, list[str]]:
    """List the layers of a part that are quantised.

    Args:
        part: A UNet, a VAE or a text encoder, with or without adapters.

    Returns:
        How -> their names as they were before any adapter, sorted; empty if none is.
    """
    found: dict[Quantization, list[str]] = {}
    for name, module in part.named_modules():
        for how, kind in _LAYERS.items():
            if type(module) is kind:
                found.setdefault(how, []).append(_WRAPPED.sub("", name))
    return {how: sorted(names) for how, names in found.items()}


def _quantize(
    part: nn.Module,
    kind: type[QuantizedLinear],
    whole: tuple[str, ...],
    device: torch.device | None,
) -> None:
    for name, module in list(part.named_modules()):
        is_linear = type(module) is nn.Linear and module.weight.numel() % 2 == 0  # two in a byte
        if not is_linear or name.startswith(_NEVER) or f".{name}".endswith(whole):
            continue
        parent, _, attribute = name.rpartition(".")
        setattr(part.get_submodule(parent), attribute, kind(module, device))
