"""A LoRA apart from the model that it was trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, cast

from torch import Tensor, nn

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers, tunable_parts
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from peft import LoraConfig

__all__ = ["LoRAAdapter"]


@dataclass(frozen=True)
class LoRAAdapter(Adapter):
    """A LoRA apart from the model it was trained in: one set of matrices per tuned part.

    The parts are `unet` and, when tuned, `text_encoder` (`text_encoder_2` for a second one).

    Attributes:
        weights: Part -> PEFT's key (`<module>.lora_A.weight`, …) -> tensor on the CPU.
        configs: Part -> PEFT's configuration, which holds rank, alpha and whether it is a DoRA.
    """

    kind: ClassVar[str] = "LoRA"

    weights: Mapping[str, Mapping[str, Tensor]]
    configs: Mapping[str, LoraConfig]

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
            configs={name: _config(part) for name, part in parts.items()},
        )

    @classmethod
    def remove(cls, model: StableDiffusion) -> None:
        """Put the frozen layers back in their places.

        Args:
            model: A bundle. Without an adapter this does nothing.
        """
        model.pipeline().unload_lora_weights()


def _config(part: nn.Module) -> LoraConfig:
    configs = cast("dict[str, LoraConfig]", part.peft_config)
    return configs[ADAPTER_NAME]


def _weights(part: nn.Module) -> dict[str, Tensor]:
    from peft.utils import get_peft_model_state_dict

    state = get_peft_model_state_dict(part, adapter_name=ADAPTER_NAME)
    return {key: tensor.detach().cpu().clone().contiguous() for key, tensor in state.items()}
