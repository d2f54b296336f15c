"""The optimizer and learning-rate schedule that nano's three networks share."""

from collections.abc import Iterable
from typing import Any

import torch
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch.nn import Parameter

__all__ = ["adamw_with_decay", "trapezoid"]


def trapezoid(step: int, warmup_steps: int, decay_steps: int, max_steps: int) -> float:
    """Return the learning rate's factor: a linear rise, a plateau, a linear fall to 0.

    The plateau can be made longer on resume, which a cosine cannot (Hägele et al., "Scaling Laws
    and Compute-Optimal Training Beyond Fixed Training Durations", 2024).

    Args:
        step: optimizer steps done.
        warmup_steps: steps of the rise.
        decay_steps: steps of the fall.
        max_steps: step at which the factor reaches 0.

    Returns:
        The factor, in [0, 1].
    """
    rise = (step + 1) / max(1, warmup_steps)
    fall = (max_steps - step) / max(1, decay_steps)
    return max(0.0, min(1.0, rise, fall))


def adamw_with_decay(
    parameters: Iterable[Parameter] | Iterable[dict[str, Any]],
    learning_rate: float,
    max_steps: int,
    warmup_steps: int = 100,
    decay_share: float = 0.4,
) -> OptimizerLRSchedulerConfig:
    """Build AdamW with a trapezoid schedule, as `configure_optimizers` returns it.

    Args:
        parameters: what is trained, or groups as AdamW takes them, each at a rate of its own if it
            has one.
        learning_rate: the plateau's rate.
        max_steps: optimizer steps of the whole training.
        warmup_steps: steps of the rise.
        decay_share: share of the steps on which the rate falls, in [0, 1].
    """
    optimizer = torch.optim.AdamW(
        parameters, lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    decay_steps = round(decay_share * max_steps)
    lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: trapezoid(step, warmup_steps, decay_steps, max_steps)
    )
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"},
    }
