"""What all formats of a LoRA have in common: how it is proved that none of it was lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers, tunable_parts
from sdtune.adapters.usage import Program, Use, literal, quoted, shown
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

__all__ = ["LoRAFormat"]


class LoRAFormat(AdapterFormat[LoRAAdapter]):
    """A layout of a LoRA's files."""

    adapter_type = LoRAAdapter

    def compare(self, path: Path, model: StableDiffusion, loaded: StableDiffusion) -> None:
        """Compare each layer's scale (alpha / rank) and matrices.

        Args:
            path: Where the adapter was written.
            model: The model in which it was trained.
            loaded: Another one, into which it was loaded.

        Raises:
            AdapterVerificationError: If anything differs; it names the first layer that does.
        """
        others = tunable_parts(loaded)
        for name, part in tunable_parts(model).items():
            _compare_layers(path, part, others[name])

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how the LoRA is used in another program, which reads files of this layout."""
        if program == "diffusers":
            where = (
                f"    {literal(shown(path.parent))},",
                f"    weight_name={literal(path.name)},",
            )
            return Use(("pipeline.load_lora_weights(", *where, ")"))
        if program == "A1111":
            folder = "stable-diffusion-webui/models/Lora"
            return Use(
                (f"cp {quoted(path)} {folder}/{name}.safetensors",), appended=f" <lora:{name}:1>"
            )
        return Use(
            (
                f"cp {quoted(path)} ComfyUI/models/loras/{name}.safetensors",
                "# node: Load LoRA, strength 1",
            )
        )


def _compare_layers(path: Path, trained: nn.Module, loaded: nn.Module) -> None:
    expected, found = lora_layers(trained), lora_layers(loaded)
    if expected.keys() != found.keys():
        names = sorted(expected.keys() ^ found.keys())
        raise AdapterVerificationError(
            f"Expected {path} to hold {len(expected)} layers of the "
            f"{type(trained).__name__}, but it holds {len(found)}; the first that differs is "
            f"`{names[0]}`."
        )
    for name, layer in expected.items():
        scale, read = layer.scaling[ADAPTER_NAME], found[name].scaling[ADAPTER_NAME]
        if not math.isclose(scale, read, rel_tol=1e-6):  # a file may hold alpha in float32
            raise AdapterVerificationError(
                f"Expected {path} to scale `{name}` by {scale:g} (alpha / rank), but it comes "
                f"back scaled by {read:g}."
            )
        for key, tensor in _matrices(layer).items():
            other = _matrices(found[name]).get(key)
            if other is None or not _equal(tensor, other):
                raise AdapterVerificationError(
                    f"Expected {path} to hold the trained `{name}.{key}`, but it does not."
                )


def _matrices(layer: LoraLayer) -> dict[str, Tensor]:
    named = cast(nn.Module, layer).named_parameters()
    return {key: parameter for key, parameter in named if key.startswith("lora_")}


def _equal(tensor: Tensor, other: Tensor) -> bool:
    # the reader casts a text encoder's matrices to the precision of the base
    rtol = 0.0 if tensor.dtype == other.dtype else torch.finfo(other.dtype).eps
    return tensor.shape == other.shape and torch.allclose(
        tensor.float(), other.float(), rtol=rtol, atol=0.0
    )
