"""What ways to train cost a step: modules of each, in turn in one process."""

from __future__ import annotations

import json
import logging
import time
from dataclasses import replace
from statistics import median
from typing import Any, Literal

import torch

from benchmarks.style_front.arms import ARMS
from benchmarks.style_front.training import untrained
from sdtune import LoRAStyleModule

__all__ = ["step_cost"]

log = logging.getLogger(__name__)

_PICTURES = 48
_FIRST = 8  # rounds that do not count


def step_cost(
    arms: tuple[str, ...] = ("shift_85", "at_once_60", "at_once_60_half", "at_once_60_more_kept"),
    base: str = "nano",
    rounds: int = 30,
    batch_size: int = 8,
    device: Literal["cpu", "cuda"] = "cpu",
) -> None:
    """Log the ratio of a step's time to that of the recipe that keeps nothing.

    A round is a step of each; a step is forwards and backwards, without the optimizer's.

    Args:
        arms: Ways to train.
        base: The base, as recipes name it.
        rounds: Steps of each that count.
        batch_size: Samples in a batch.
        device: On a CPU processor time is taken, on a GPU the clock's.
    """
    torch.set_num_threads(1)
    modules = {name: _module(name, base, device) for name in ("plain", *arms)}
    seconds: dict[str, list[float]] = {name: [] for name in modules}
    for number in range(rounds + _FIRST):
        batch = _batch(number, batch_size, modules["plain"])
        names = list(modules) if number % 2 else list(reversed(modules))
        for name in names:
            seconds[name].append(_seconds(modules[name], batch))
    counted = {name: each[_FIRST:] for name, each in seconds.items()}
    for name in arms:
        ratios = [a / b for a, b in zip(counted[name], counted["plain"], strict=True)]
        figures = {"arm": name, "base": base, "batch_size": batch_size, "device": device}
        figures["median ratio"] = round(median(ratios), 3)
        figures["ratio of sums"] = round(sum(counted[name]) / sum(counted["plain"]), 3)
        figures["ms of plain"] = round(1000 * median(counted["plain"]), 2)
        log.warning("%s", json.dumps(figures))


def _module(name: str, base: str, device: str) -> LoRAStyleModule:
    arm = ARMS[name]
    module = untrained(replace(arm, model={**arm.model, "base": base}), seed=0)
    module.load_base()
    module.to(device)
    if device == "cuda":  # as a Trainer's fit does
        module.model.passes.start(module.model.unet, module.model.text_encoders)
    return module


def _batch(number: int, size: int, module: LoRAStyleModule) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(number)
    channels, side = module.model.latent_channels, module.model.resolution
    side //= module.model.vae_scale_factor
    moments = torch.randn(size, 2 * channels, side, side, generator=generator)
    return {
        "moments": moments.to(module.model.device),
        "caption": ["a turtle on a blue background"] * size,
        "index": [(size * number + each) % _PICTURES for each in range(size)],
    }


def _seconds(module: LoRAStyleModule, batch: dict[str, Any]) -> float:
    start = _now(module)
    losses, _ = module.training_losses(batch)
    losses.mean().backward()
    module.zero_grad()
    return _now(module) - start


def _now(module: LoRAStyleModule) -> float:
    if module.model.device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()
