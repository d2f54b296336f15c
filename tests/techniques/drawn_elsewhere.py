"""Draw with adapters that another process has saved: `test_contract` compares it with its own.

    python -m tests.techniques.drawn_elsewhere FOLDER...

Each folder has an adapter, and a file `base` that names its base. One process draws for all of
them: starting it takes longer.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdtune import load_pipeline

__all__ = ["drawn"]


def drawn(pipeline: Any) -> Tensor:
    """Draw a picture from noise that is always the same.

    Args:
        pipeline: One of diffusers' pipelines.

    Returns:
        (1, 3, H, W) in [0, 1].
    """
    pipeline.set_progress_bar_config(disable=True)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    words = {"latents": latents, "num_inference_steps": 2, "output_type": "pt"}
    images: Tensor = pipeline("a red <disc>", **words).images
    return images


if __name__ == "__main__":
    torch.set_num_threads(1)
    for run in map(Path, sys.argv[1:]):
        torch.save(
            drawn(load_pipeline((run / "base").read_text(), run / "adapter")), run / "drawn.pt"
        )
