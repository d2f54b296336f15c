"""The mean over samples of a figure that each sample has for itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

__all__ = ["SampleMean"]


class SampleMean(Metric):
    """Adds up figures of samples and divides by their number, over all batches and processes.

    Args:
        **kwargs: What every `torchmetrics.Metric` takes.
    """

    is_differentiable = False
    full_state_update = False

    total: Tensor
    count: Tensor

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("count", torch.tensor(0), dist_reduce_fx="sum")

    def add(self, values: Tensor) -> None:
        """Add the figures of some samples.

        Args:
            values: (B,) one figure per sample.
        """
        self.total += values.sum().to(self.total)
        self.count += len(values)

    def compute(self) -> Tensor:
        """Return the mean over all samples so far."""
        return self.total / self.count
