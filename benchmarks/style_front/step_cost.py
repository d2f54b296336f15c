"""What keeping content costs a step: modules with and without it, in turn in one process."""

from __future__ import annotations

import json
import logging
import time
from statistics import median

import torch

from sdtune import LoRAStyleModule

__all__ = ["step_cost"]

log = logging.getLogger(__name__)

_RECIPE = {"base": "nano", "rank": 16, "alpha": 16, "target_modules": "all"}


def step_cost(above: float = 0.85, steps: int = 30, batch_size: int = 8) -> None:
    """Log the median ratio of a step's processor time with `keep_content_above` to one without.

    Args:
        above: The level.
        steps: Pairs of steps; the first three do not count.
        batch_size: Samples in a batch.
    """
    kept, plain = (LoRAStyleModule(keep_content_above=each, **_RECIPE) for each in (above, None))
    for module in (kept, plain):
        module.load_base()
    ratios = []
    for number in range(steps + 3):
        batch = _batch(number, batch_size)
        order = (kept, plain) if number % 2 else (plain, kept)
        seconds = {id(module): _seconds(module, batch) for module in order}
        ratios.append(seconds[id(kept)] / seconds[id(plain)])
    figures = {"above": above, "batch_size": batch_size, "ratio": round(median(ratios[3:]), 3)}
    figures["mean_ratio"] = round(sum(ratios[3:]) / steps, 3)
    log.warning("%s", json.dumps(figures))


def _batch(number: int, size: int) -> dict[str, object]:
    generator = torch.Generator().manual_seed(number)
    return {
        "moments": torch.randn(size, 8, 16, 16, generator=generator),
        "caption": ["a turtle on a blue background"] * size,
        "index": [size * number + each for each in range(size)],
    }


def _seconds(module: LoRAStyleModule, batch: dict[str, object]) -> float:
    start = time.process_time()
    losses, _ = module.training_losses(batch)
    losses.mean().backward()
    module.zero_grad()
    return time.process_time() - start
