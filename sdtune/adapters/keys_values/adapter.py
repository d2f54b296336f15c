"""Tuned keys and values apart from the model that they were trained in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.keys_values.layers import remove_tuned_projections, tuned_projections
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["CrossAttentionAdapter"]


@dataclass(frozen=True)
class CrossAttentionAdapter(Adapter):
    """Keys and values apart from the model that they were trained in.

    Attributes:
        weights: Name of a projection in the UNet (`….attn2.to_k`) -> (out, in) float32 on the CPU.
        processors: Names of all attention processors of the UNet, which the file format lists.
    """

    kind: ClassVar[str] = "keys and values"

    weights: Mapping[str, Tensor]
    processors: tuple[str, ...]

    @classmethod
    def from_model(cls, model: StableDiffusion) -> CrossAttentionAdapter:
        """Copy the keys and values out of a model.

        Args:
            model: A bundle to which `add_tuned_projections` has been applied.

        Returns:
            A copy, which further training does not touch.

        Raises:
            ValueError: If the model has none.
        """
        layers = tuned_projections(model)
        if not layers:
            raise ValueError(
                f"Expected `model` to have tuned keys and values, but {model.source} has none: "
                "call `add_tuned_projections` first."
            )
        weights = {
            name: layer.weight.detach().to("cpu", torch.float32, copy=True).contiguous()
            for name, layer in layers.items()
        }
        return cls(weights, tuple(model.unet.attn_processors))

    @classmethod
    def remove(cls, model: StableDiffusion) -> None:
        """Put the frozen keys and values back in their places.

        Args:
            model: A bundle. Without tuned ones this does nothing.
        """
        remove_tuned_projections(model)
