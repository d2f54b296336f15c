"""A whole UNet that was fine-tuned, apart from the model that it was trained in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from sdtune.adapters.adapter import Adapter
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

__all__ = ["TunedUNet", "unet_config"]


@dataclass(frozen=True)
class TunedUNet(Adapter):
    """A copy of a UNet that was fine-tuned as a whole.

    Attributes:
        weights: Name -> tensor on the CPU, as large as the UNet: 3.4 GB for Stable Diffusion 1.
        config: What diffusers builds the UNet from.
    """

    kind: ClassVar[str] = "whole UNet"

    weights: Mapping[str, Tensor]
    config: Mapping[str, Any]

    @classmethod
    def from_model(cls, model: StableDiffusion) -> TunedUNet:
        """Copy the UNet out of a model.

        Args:
            model: A bundle without adapters.

        Returns:
            A copy on the CPU, which further training does not touch.
        """
        weights = {
            name: weight.detach().to("cpu", copy=True).contiguous()
            for name, weight in model.unet.state_dict().items()
        }
        return cls(weights, unet_config(model.unet))

    @classmethod
    def remove(cls, model: StableDiffusion) -> None:
        """Do nothing: a tuned UNet takes the place of another, and nothing is below it.

        Args:
            model: A bundle.
        """


def unet_config(unet: UNet2DConditionModel) -> dict[str, Any]:
    """Read what diffusers builds a UNet from, without the folder that it came from.

    Args:
        unet: The UNet.

    Returns:
        Its configuration, of JSON's types.
    """
    config: dict[str, Any] = json.loads(unet.to_json_string())
    config.pop("_name_or_path", None)  # a folder of this machine
    return config
