"""LoRA files in kohya's layout, which A1111 and ComfyUI read.

A key is a prefix for the part, the module's name with "_" for ".", and `lora_down.weight`,
`lora_up.weight` or `alpha`; the update is alpha / r * up @ down, and a missing alpha is r.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import tunable_parts
from sdtune.adapters.lora.placement import (
    LoRAMatrices,
    matrices_of,
    place_lora,
    text_module_name,
)
from sdtune.files import tensor_file
from sdtune.files.tensor_file import TensorHeader
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["KohyaFormat"]

_PREFIXES = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
}
_DOWN, _UP, _ALPHA = "lora_down.weight", "lora_up.weight", "alpha"


class KohyaFormat(LoRAFormat):
    """`kohya_lora.safetensors`; a DoRA has no layout that all of these programs read alike."""

    name = "kohya"
    file_name = "kohya_lora.safetensors"
    made_for = ("A1111", "ComfyUI")

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether all names are kohya's."""
        return bool(header.shapes) and all(
            name.startswith(tuple(_PREFIXES)) for name in header.shapes
        )

    def holds(self, adapter: LoRAAdapter) -> bool:
        """Tell whether it is no DoRA."""
        return not any(config.use_dora for config in adapter.configs.values())

    def write(self, adapter: LoRAAdapter, path: Path, metadata: Mapping[str, str]) -> None:
        """Write an adapter, with kohya's rank and alpha in the header beside the metadata."""
        prefixes = {"unet": "lora_unet_", "text_encoder": "lora_te_", "text_encoder_2": "lora_te2_"}
        if "text_encoder_2" in adapter.weights:
            prefixes["text_encoder"] = "lora_te1_"
        tensors = {}
        for part in adapter.weights:
            for module, (down, up, alpha) in matrices_of(adapter, part).items():
                # transformers 5.6 dropped a level from the modules' names, which others expect
                known = (
                    module if part == "unet" else f"text_model.{module.removeprefix('text_model.')}"
                )
                name = prefixes[part] + known.replace(".", "_")
                tensors[f"{name}.{_DOWN}"], tensors[f"{name}.{_UP}"] = down, up
                tensors[f"{name}.{_ALPHA}"] = torch.tensor(float(alpha))
        config = next(iter(adapter.configs.values()))
        header = {
            "ss_network_module": "networks.lora",
            "ss_network_dim": str(config.r),
            "ss_network_alpha": f"{config.lora_alpha:g}",
        }
        tensor_file.write(path, tensors, {**metadata, **header})

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Load a file into a model, in place and frozen.

        Unlike diffusers' converter, this asks the model for its modules' names, and so loses
        nothing: convolutions, alphas that differ, and the text encoder.

        Args:
            model: A bundle without a LoRA.
            path: The file.

        Raises:
            ValueError: If it is for another architecture, or is a DoRA, LoHa or LoKr.
        """
        parts = tunable_parts(model)
        names = {part: _names(part, module) for part, module in parts.items()}
        found: dict[str, dict[str, dict[str, Tensor]]] = {}
        for key, tensor in load_file(path).items():
            name, _, kind = key.partition(".")
            if kind not in (_DOWN, _UP, _ALPHA):
                raise ValueError(
                    f"Expected {path} to be a plain LoRA, but it holds `{key}`: DoRA, LoHa and "
                    "LoKr in kohya's layout are not read."
                )
            prefix = max((each for each in _PREFIXES if name.startswith(each)), key=len)
            part, module = _PREFIXES[prefix], name.removeprefix(prefix)
            module = names.get(part, {}).get(module, module)
            found.setdefault(part, {}).setdefault(module, {})[kind] = tensor
        place_lora(model, {part: _matrices(each, path) for part, each in found.items()}, path)


def _names(part: str, module: nn.Module) -> dict[str, str]:
    """Map kohya's names to the modules of a part."""
    names = {}
    for name, _ in module.named_modules():
        known = name if part == "unet" else f"text_model.{name.removeprefix('text_model.')}"
        names[known.replace(".", "_")] = text_module_name(name, module) if part != "unet" else name
    return names


def _matrices(modules: Mapping[str, Mapping[str, Tensor]], path: Path) -> LoRAMatrices:
    matrices = LoRAMatrices()
    for name, tensors in modules.items():
        if _DOWN not in tensors or _UP not in tensors:
            raise ValueError(
                f"Expected {path} to hold two matrices for `{name}`, but one is missing."
            )
        down, up = tensors[_DOWN].float(), tensors[_UP].float()
        alpha = float(tensors[_ALPHA]) if _ALPHA in tensors else float(len(down))
        matrices[name] = (down, up, alpha)
    return matrices
