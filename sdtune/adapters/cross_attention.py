"""Keys and values of the cross-attention, tuned in full beside the frozen ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "TARGET_MODULES",
    "CrossAttentionAdapter",
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


@dataclass(frozen=True)
class CrossAttentionAdapter:
    """Keys and values apart from the model that they were trained in.

    Attributes:
        weights: Name of a projection in the UNet (`….attn2.to_k`) -> (out, in) float32 on the CPU.
        processors: Names of all attention processors of the UNet, which the file format lists.
    """

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

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write them as diffusers reads them; see `custom_diffusion_format.save`.

        Args:
            folder: Where the file goes.
            metadata: Strings for the file's header.

        Returns:
            The path of the file.
        """
        from sdtune.adapters import custom_diffusion_format  # it stands on this module

        return custom_diffusion_format.save(self, folder, metadata)

    def verify(self, path: str | Path, model: StableDiffusion) -> None:
        """Prove that a saved file does what the model does; see `custom_diffusion_format.verify`.

        Args:
            path: The file that `save` wrote.
            model: The model that this adapter was taken from.
        """
        from sdtune.adapters import custom_diffusion_format

        custom_diffusion_format.verify(path, model)


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
        _replace(model, name, TunedProjection(model.unet.get_submodule(name)))


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
