"""From a base and an adapter to a diffusers pipeline that draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.adapters import diffusers_format
from sdtune.models.loading import NANO, check_base, load

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

__all__ = ["load_pipeline"]


def load_pipeline(
    base: str | Path = NANO, adapter: str | Path | None = None
) -> StableDiffusionPipeline:
    """Load a base and put an adapter on it.

    Args:
        base: `nano`, a Hugging Face id, a folder in diffusers' layout, or one file in the
            original layout.
        adapter: The adapter's file, its folder, or the folder of the run that made it; None for
            the base alone. Any file that diffusers' `load_lora_weights` reads will do.

    Returns:
        A pipeline on the CPU, float32, ready to be called with a prompt.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If the base cannot be loaded.
    """
    check_base(base)
    path = None if adapter is None else diffusers_format.resolve(adapter)
    model = load(base)
    if path is not None:
        diffusers_format.load(model, path)
    return model.pipeline()
