"""Pictures drawn by sdtune beside those of diffusers' pipeline, one call for each prompt.

    OMP_NUM_THREADS=1 python -m benchmarks.sampling

Both draw the same eight pictures by the same weights from the same noise, in turn; seconds are
those that the process computes.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdtune.models import StableDiffusion, load, sample
from sdtune.models.sampling import initial_noise

__all__ = ["compare"]

PROMPTS = [
    f"a {thing} on a {color} background"
    for thing in ("cat", "lion")
    for color in ("red", "blue", "green", "pink")
]
_SETTINGS: dict[str, Any] = {"num_inference_steps": 25, "guidance_scale": 4.0}


def compare(
    model: StableDiffusion, prompts: list[str], rounds: int, **settings: Any
) -> tuple[list[float], float]:
    """Draw by both, in turn.

    Args:
        model: The base.
        prompts: B texts.
        rounds: How often, after one that does not count.
        **settings: As for `sample`, by the names that the pipeline has too.

    Returns:
        How many times as long the pipeline took, round by round, and the largest difference of a
        pixel, in [0, 1].
    """
    seeds = list(range(len(prompts)))
    pipeline: Any = model.pipeline()
    pipeline.set_progress_bar_config(disable=True)

    def of_pipeline() -> Tensor:
        drawn = []
        for prompt, seed in zip(prompts, seeds, strict=True):
            noise = initial_noise(model, [seed], model.resolution, model.resolution)
            drawn.append(pipeline(prompt, latents=noise, output_type="pt", **settings).images)
        return torch.cat(drawn)

    def of_sdtune() -> Tensor:
        return sample(model, prompts, seeds=seeds, **settings)

    ratios, difference = [], 0.0
    with torch.no_grad():
        for number in range(rounds + 1):
            ours, drawn = _timed(of_sdtune)
            theirs, wanted = _timed(of_pipeline)
            difference = max(difference, float((drawn - wanted).abs().max()))
            ratios += [theirs / ours] if number else []
    return ratios, difference


def _timed(draw: Callable[[], Tensor]) -> tuple[float, Tensor]:
    started = time.process_time()
    drawn = draw()
    return time.process_time() - started, drawn


def main() -> None:
    """Compare on nano, and print it."""
    ratios, difference = compare(load("nano"), PROMPTS, 7, **_SETTINGS)
    low, middle, high = statistics.quantiles(ratios, n=4)
    sys.stdout.write(
        f"sdtune draws {len(PROMPTS)} pictures {middle:.2f} ({low:.2f}-{high:.2f}) times as fast "
        f"as a call for each; they differ by {difference:.0e} at most.\n"
    )


if __name__ == "__main__":
    main()
