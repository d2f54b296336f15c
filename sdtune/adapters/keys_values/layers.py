"""Keys and values of the cross-attention, tuned in full beside the frozen ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "TARGET_MODULES",
    "TunedProjection",
    "add_tuned_projections",
    "projection_names",
    "remove_tuned_projections",
    "tuned_projections",
    "without_tuned_projections",
]

TARGET_MODULES = ("attn2.to_k", "attn2.to_v")
"""Ends of the names of all keys and values that a UNet computes from the prompt."""


class TunedProjection(nn.Module):
    """A frozen projection and the float32 weight that learns in its place.

    Args:
        base_layer: The projection.

    Attributes:
        enabled: Whether the learned weight is used, or the frozen one.
    """

    def __init__(self, base_layer: nn.Linear) -> None:
        super().__init__()
        self.base_layer = base_layer  # the name that `fingerprint` looks for
        self.weight = nn.Parameter(base_layer.weight.detach().to(torch.float32, copy=True))
        self.enabled = True

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Project.

        Args:
            hidden_states: (B, L, in).

        Returns:
            (B, L, out) in the precision of the base.
        """
        if not self.enabled:
            projected: Tensor = self.base_layer(hidden_states)
            return projected
        projected = F.linear(hidden_states.to(self.weight.dtype), self.weight)
        return projected.to(self.base_layer.weight.dtype)


def add_tuned_projections(model: StableDiffusion) -> None:
    """Let all keys and values of the cross-attention learn; the output does not change by it.

    Args:
        model: A bundle without tuned keys and values.

    Raises:
        ValueError: If the UNet attends to no prompt.
    """
    names = projection_names(model)
    if not names:
        raise ValueError(
            f"Expected the UNet of {model.source} to attend to prompts, but it has no module that "
            f"ends in {' or '.join(f'`{name}`' for name in TARGET_MODULES)}."
        )
    for name in names:
        _replace(model, name, TunedProjection(cast(nn.Linear, model.unet.get_submodule(name))))


def projection_names(model: StableDiffusion) -> list[str]:
    """List the keys and values of the cross-attention, in the order of the UNet's modules.

    Args:
        model: A bundle, tuned or not.

    Returns:
        Names in the UNet, such as `mid_block.attentions.0.transformer_blocks.0.attn2.to_k`.
    """
    return [name for name, _ in model.unet.named_modules() if name.endswith(TARGET_MODULES)]


def tuned_projections(model: StableDiffusion) -> dict[str, TunedProjection]:
    """Find the keys and values that learn.

    Args:
        model: A bundle.

    Returns:
        Name in the UNet -> the projection. Empty if there are none.
    """
    modules = model.unet.named_modules()
    return {name: each for name, each in modules if isinstance(each, TunedProjection)}


def remove_tuned_projections(model: StableDiffusion) -> None:
    """Put the frozen keys and values back in their places.

    Args:
        model: A bundle. Without tuned ones this does nothing.
    """
    for name, layer in tuned_projections(model).items():
        _replace(model, name, layer.base_layer)


@contextmanager
def without_tuned_projections(model: StableDiffusion) -> Iterator[None]:
    """Use the frozen keys and values, for a while.

    Args:
        model: A bundle. Without tuned ones this does nothing.

    Yields:
        Nothing.
    """
    layers = [layer for layer in tuned_projections(model).values() if layer.enabled]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.enabled = True


def _replace(model: StableDiffusion, name: str, module: nn.Module) -> None:
    parent, _, attribute = name.rpartition(".")
    setattr(model.unet.get_submodule(parent), attribute, module)
