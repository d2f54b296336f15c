"""A LoRA apart from the model that it was trained in."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, ClassVar, Self, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.lora.base_kind import BaseKind, base_kind
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers, remove_lora, tunable_parts
from sdtune.adapters.lora.names import original_names, pattern_value
from sdtune.adapters.lora.updates import AdapterType, ModuleUpdate, split_key
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["LoRAAdapter"]


@dataclass(frozen=True)
class LoRAAdapter(Adapter):
    """A LoRA apart from the model it was trained in: one set of matrices per tuned part.

    The parts are `unet` and, when tuned, `text_encoder` (`text_encoder_2` for a second one).

    Attributes:
        weights: Part -> PEFT's key (`<module>.lora_A.weight`, …) -> tensor on the CPU.
        configs: Part -> PEFT's configuration, which holds rank, alpha and whether it is a DoRA: a
            LoraConfig, LoHaConfig or LoKrConfig, the same for all parts.
        base: For which kind of base it is.
        original_names: Module of the UNet -> its name in the first implementation.
        kernels: Convolution in the UNet -> numbers in its kernel, where that is more than one.
    """

    kind: ClassVar[str] = "LoRA"

    weights: Mapping[str, Mapping[str, Tensor]]
    configs: Mapping[str, Any]
    base: BaseKind = field(default_factory=BaseKind)
    original_names: Mapping[str, str] = field(default_factory=dict)
    kernels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def from_model(cls, model: StableDiffusion) -> LoRAAdapter:
        """Copy the adapter out of a model.

        Args:
            model: A bundle to which `add_lora` has been applied.

        Returns:
            Copies on the CPU, which further training does not touch.

        Raises:
            ValueError: If the model has no adapter.
        """
        parts = {n: part for n, part in tunable_parts(model).items() if lora_layers(part)}
        if not parts:
            raise ValueError(
                f"Expected `model` to have an adapter, but {model.source} has none: call "
                "`add_lora` first."
            )
        return cls(
            weights={name: _weights(part) for name, part in parts.items()},
            configs={name: copy.deepcopy(_config(part)) for name, part in parts.items()},
            base=base_kind(model),
            original_names=_original_names(model.unet),
            kernels=_kernels(model.unet),
        )

    @classmethod
    def remove(cls, model: StableDiffusion) -> None:
        """Put the frozen layers back in their places.

        Args:
            model: A bundle. Without an adapter this does nothing.
        """
        for part in tunable_parts(model).values():
            remove_lora(part)

    @property
    def adapter_type(self) -> AdapterType:
        """Which method it is of."""
        kinds: dict[str, AdapterType] = {"LORA": "lora", "LOHA": "loha", "LOKR": "lokr"}
        return kinds[next(iter(self.configs.values())).peft_type.value]

    @property
    def title(self) -> str:
        """LoRA, DoRA, LoHa or LoKr."""
        names = {"lora": "DoRA" if self.is_dora else "LoRA", "loha": "LoHa", "lokr": "LoKr"}
        return names[self.adapter_type]

    @property
    def is_dora(self) -> bool:
        """Whether magnitudes are apart from directions."""
        return any(getattr(config, "use_dora", False) for config in self.configs.values())

    @property
    def dtype(self) -> torch.dtype:
        """Of its tensors."""
        return next(each.dtype for part in self.weights.values() for each in part.values())

    @property
    def content_sha256(self) -> str:
        """SHA-256 of the matrices, their names and what they are multiplied by."""
        digest = sha256()
        for part in sorted(self.weights):
            for module, update in sorted(self.updates(part).items()):
                digest.update(f"{part} {module} {update.rank} {update.alpha}".encode())
                for name, tensor in sorted(update.tensors.items()):
                    digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
                    digest.update(tensor.float().contiguous().numpy().data)
        return digest.hexdigest()

    def to(self, dtype: torch.dtype) -> Self:
        """Round it.

        Args:
            dtype: A floating type.

        Returns:
            A copy with tensors of that type.
        """
        weights = {
            part: {key: tensor.to(dtype) for key, tensor in tensors.items()}
            for part, tensors in self.weights.items()
        }
        return replace(self, weights=weights)

    def updates(self, part: str) -> dict[str, ModuleUpdate]:
        """Sort a part's tensors by module.

        Args:
            part: One of its parts.

        Returns:
            Module -> update, in the precision of the adapter.
        """
        found: dict[str, dict[str, Tensor]] = {}
        for key, tensor in self.weights[part].items():
            split = split_key(key)
            if split is None:
                raise ValueError(f"Expected PEFT's names in an adapter's weights, but got `{key}`.")
            found.setdefault(split[0], {})[split[1]] = tensor
        return {name: self._update(part, name, tensors) for name, tensors in found.items()}

    def _update(self, part: str, module: str, tensors: Mapping[str, Tensor]) -> ModuleUpdate:
        config = self.configs[part]
        default = config.lora_alpha if self.adapter_type == "lora" else config.alpha
        rank = int(pattern_value(config.rank_pattern, module, config.r))
        alpha = pattern_value(config.alpha_pattern, module, default)
        if getattr(config, "use_rslora", False):
            alpha *= rank**0.5  # alpha / sqrt(r), not / r
        kernel = self.kernels.get(module, 1) if part == "unet" else 1
        return ModuleUpdate(self.adapter_type, tensors, rank, float(alpha), kernel)


def _config(part: nn.Module) -> Any:
    return cast("dict[str, Any]", part.peft_config)[ADAPTER_NAME]


def _original_names(unet: nn.Module) -> dict[str, str]:
    layers = cast("Mapping[str, Any]", unet.config)["layers_per_block"]
    # within a wrapped layer there are more modules
    names = [name.removesuffix(".base_layer") for name, _ in unet.named_modules()]
    return original_names(names, layers) if isinstance(layers, int) else {}


def _kernels(unet: nn.Module) -> dict[str, int]:
    layers = {name: each.get_base_layer() for name, each in lora_layers(unet).items()}
    sizes = {name: cast(Tensor, each.weight)[0, 0].numel() for name, each in layers.items()}
    return {name: size for name, size in sizes.items() if size > 1}


def _weights(part: nn.Module) -> dict[str, Tensor]:
    from peft.utils import get_peft_model_state_dict

    state = get_peft_model_state_dict(part, adapter_name=ADAPTER_NAME)
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
