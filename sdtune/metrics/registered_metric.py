"""A registered metric as torchmetrics knows metrics: over batches and processes."""

from __future__ import annotations

from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.utilities import dim_zero_cat

from sdtune.metrics.metric import Metric
from sdtune.metrics.registry import find_metric
from sdtune.metrics.samples import Reference, Samples

__all__ = ["RegisteredMetric"]


class RegisteredMetric(torchmetrics.Metric):
    """Gathers what a metric keeps of each sample, and computes its figure over all of them.

    Args:
        metric: The metric, or the name that it is registered under.
        **kwargs: What every `torchmetrics.Metric` takes.

    Raises:
        ValueError: If no metric of that name is registered.
    """

    is_differentiable = False
    full_state_update = False

    kept: list[Tensor]

    def __init__(self, metric: Metric | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.metric = find_metric(metric) if isinstance(metric, str) else metric
        self.reference: Reference | None = None
        self.add_state("kept", [], dist_reduce_fx="cat")

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """Whether more is better, as the metric declares it."""
        return self.metric.higher_is_better

    @property
    def rows(self) -> Tensor:
        """What was kept of each sample so far: (B,), or (B, D) of a metric of sets."""
        return dim_zero_cat(self.kept)

    def update(self, samples: Samples) -> None:
        """Add samples: some of the prompts, all seeds of each; of one reference throughout.

        Args:
            samples: The pictures.
        """
        self.reference = samples.reference
        self.kept.append(self.metric.rows(samples))

    def compute(self) -> Tensor:
        """Return the figure of all samples so far: a scalar, float64."""
        rows, reference = self.rows, self.reference
        if reference is None:
            raise ValueError(f"Expected samples of `{self.metric.name}`, but got none.")
        return self.metric.figure(rows, reference, torch.ones(1, len(rows), dtype=torch.float64))[0]
