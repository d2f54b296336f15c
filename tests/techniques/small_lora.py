"""A small LoRA and a batch for it, for tests of what all techniques share."""

from __future__ import annotations

from pathlib import Path

import torch

from sdtune.techniques.lora_style import LoRAStyleModule

__all__ = ["small_batch", "small_module"]


def small_batch(size: int = 2) -> dict:
    """Make a batch of at most two samples of random moments for the tiny models."""
    generator = torch.Generator().manual_seed(0)
    return {
        "moments": torch.randn(size, 8, 8, 8, generator=generator),
        "caption": ["a red disc", "a blue disc"][:size],
        "index": list(range(size)),
    }


def small_module(base: Path, **arguments: object) -> LoRAStyleModule:
    """Load a base and add a LoRA of rank 2."""
    module = LoRAStyleModule(str(base), rank=2, **arguments)
    module.load_base()
    return module
