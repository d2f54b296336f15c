"""Whether a LoRA finds its modules in a base, asked before the base is loaded."""

from __future__ import annotations

from pathlib import Path

from sdtune.adapters.lora.layers import find_targets
from sdtune.adapters.lora.settings import TargetModules
from sdtune.models.skeleton import load_skeleton

__all__ = ["target_problems"]


def target_problems(
    base: str | Path, target_modules: TargetModules | list[str], *, text_encoder: bool
) -> list[str]:
    """List what keeps a LoRA from going where it should; loads no weights.

    Args:
        base: What it is trained on, as in `check_base`.
        target_modules: As in `add_lora`.
        text_encoder: Whether the text encoders are tuned too.

    Returns:
        One sentence each.
    """
    if isinstance(target_modules, str):
        return []  # made for every base
    every = load_skeleton(base)
    parts = {name: part for name, part in every.items() if name == "unet" or text_encoder}
    try:
        find_targets(parts, target_modules)
    except ValueError as error:
        return [str(error)]
    return []
