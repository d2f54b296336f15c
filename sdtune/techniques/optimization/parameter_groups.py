"""What an optimizer moves, in groups that have a learning rate each."""

from __future__ import annotations

from typing import Any

from sdtune.adapters.lora import lora_parameters
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["ParameterGroup", "lora_groups"]

ParameterGroup = dict[str, Any]
"""`params`, `lr`, and a `name` that stands in the curve of its rate."""


def lora_groups(
    model: StableDiffusion, learning_rate: float, text_encoder_learning_rate: float | None
) -> list[ParameterGroup]:
    """Group the matrices of a LoRA for `build_optimizer`.

    Args:
        model: A bundle to which `add_lora` has been applied.
        learning_rate: Rate of the UNet's matrices.
        text_encoder_learning_rate: Rate of the text encoders'; None if they have none.

    Returns:
        A group for the UNet and one for the text encoders, if they learn.
    """
    rates = {"unet": learning_rate, "text_encoder": text_encoder_learning_rate}
    parts = {"unet": model.unet, "text_encoder": model.text_encoders}
    return [
        {"name": name, "params": lora_parameters(parts[name]), "lr": rate}
        for name, rate in rates.items()
        if rate is not None
    ]
