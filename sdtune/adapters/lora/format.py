"""What all formats of a LoRA have in common: how it is placed, and proved that none was lost."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdtune._wording import counted
from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.layers import (
    ADAPTER_NAME,
    lora_layers,
    lora_pair,
    lora_parameters,
    tunable_parts,
)
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.lora.reading import Updates
from sdtune.adapters.usage import Program, Use, literal, quoted, shown
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["LoRAFormat"]


_PRODUCT = "update"


class LoRAFormat(AdapterFormat[LoRAAdapter]):
    """A layout of a LoRA's files."""

    adapter_type = LoRAAdapter

    @abstractmethod
    def read(
        self,
        path: Path,
        parts: Mapping[str, nn.Module],
        *,
        base: str = "this base",
        unfolded: bool = False,
    ) -> Updates:
        """Read a file for a model, every tensor of it.

        Args:
            path: What is of this format.
            parts: As `tunable_parts` names them, without an adapter; on the meta device, too.
            base: What the model is called in messages.
            unfolded: Give the alpha that it was trained with, where the file says it apart from
                the one that its matrices are written for; to go on training.

        Returns:
            What the modules of the model change by.

        Raises:
            ValueError: If it does not fit, or not all of it can be read.
        """

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Load a file into a model, in place, in float32 and frozen.

        Args:
            model: A bundle without a LoRA.
            path: What is of this format.

        Raises:
            ValueError: If it is for another architecture, or not all of it can be read.
        """
        parts = tunable_parts(model)
        place_updates(parts, self.read(path, parts, base=str(model.source)))

    def compare(
        self, adapter: LoRAAdapter, path: Path, model: StableDiffusion, loaded: StableDiffusion
    ) -> None:
        """Compare each layer's matrices, with alpha / rank in them.

        Args:
            adapter: What was written.
            path: Where the adapter was written.
            model: The model in which it was trained.
            loaded: Another one, into which it was loaded.

        Raises:
            AdapterVerificationError: If anything differs; it names the first layer that does.
        """
        others = tunable_parts(loaded)
        for name, part in tunable_parts(model).items():
            _compare_layers(path, part, others[name], adapter.dtype)

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


def _compare_layers(path: Path, trained: nn.Module, loaded: nn.Module, dtype: torch.dtype) -> None:
    expected, found = lora_layers(trained), lora_layers(loaded)
    if expected.keys() != found.keys():
        names = sorted(expected.keys() ^ found.keys())
        raise AdapterVerificationError(
            f"Expected {path} to hold {counted(len(expected), 'layer')} of the "
            f"{type(trained).__name__}, but it holds {len(found)}; the first that differs is "
            f"`{names[0]}`."
        )
    # a reader may cast matrices to the precision of the base
    dtypes = {dtype, *(each.dtype for each in lora_parameters(loaded))}
    coarsest = max(dtypes, key=lambda each: torch.finfo(each).eps)
    for name, layer in expected.items():
        others = _tensors(found[name])
        for key, tensor in _tensors(layer).items():
            other = others.get(key)
            if other is None or not _equal(key, tensor, other, coarsest):
                raise AdapterVerificationError(
                    f"Expected {path} to hold the trained `{name}.{key}`, with alpha / rank in "
                    "it, but it does not."
                )


def _tensors(layer: Any) -> dict[str, Tensor]:
    """Give what makes a layer's output, whatever rank and alpha it is written for."""
    if not hasattr(layer, "lora_A"):  # factors of a product, of which any may have the scale
        return {_PRODUCT: layer.get_delta_weight(ADAPTER_NAME).detach()}
    scale = layer.scaling[ADAPTER_NAME]
    down, up = lora_pair(layer)
    tensors = {"lora_A": down, "lora_B": scale * up.float()}
    bias = layer.lora_B[ADAPTER_NAME].bias
    if bias is not None:
        tensors["lora_B.bias"] = scale * bias.float()
    if ADAPTER_NAME in layer.lora_magnitude_vector:
        magnitude = layer.lora_magnitude_vector[ADAPTER_NAME].weight
        tensors["lora_magnitude_vector"] = magnitude.flatten()
    return {key: tensor.detach() for key, tensor in tensors.items()}


def _equal(key: str, tensor: Tensor, other: Tensor, dtype: torch.dtype) -> bool:
    is_float32, step = dtype == torch.float32, torch.finfo(dtype)
    if tensor.shape != other.shape:
        return False
    tensor, other = tensor.float(), other.float()
    if key == _PRODUCT:  # of rounded factors
        return bool((tensor - other).norm() <= 8 * step.eps * tensor.norm())
    # a few roundings where alpha / rank is multiplied elsewhere
    rtol, atol = (4e-7, 0.0) if is_float32 else (2 * step.eps, step.tiny * step.eps)
    return torch.allclose(tensor, other, rtol=rtol, atol=atol)
