"""What a metric is: its words, what it needs, and how its figures come from samples."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sdtune.metrics.samples import Need, Reference, Samples

__all__ = ["Metric", "SampleMetric", "SetMetric"]


@dataclass(frozen=True, kw_only=True)
class Metric(ABC):
    """A metric, as its file declares it and the registry holds it.

    Attributes:
        name: Its key in `evaluation.json`, and its tag in TensorBoard after `eval/`; one that ends
            in `_share` is a share in [0, 1], shown in percent.
        title: Its name for readers.
        higher_is_better: Whether more is better.
        meaning: What it says, in plain words.
        limits: What it does not mean, in one sentence.
        needs: What it reads of the samples besides their pixels. Where one of these is absent the
            metric is not measured, and that is told.
        lowest: The least that a figure can be; no interval goes below it.
        highest: The most that it can be.
    """

    name: str
    title: str
    higher_is_better: bool
    meaning: str
    limits: str
    needs: Sequence[Need] = ()
    lowest: float = -math.inf
    highest: float = math.inf

    @abstractmethod
    def rows(self, samples: Samples) -> Tensor:
        """Compute what is kept of each sample.

        Args:
            samples: Pictures of some of the prompts, all seeds of each.

        Returns:
            (B,) of a metric of samples, (B, D) of one of sets, on the CPU.

        Raises:
            ValueError: If there is not a row for each sample.
        """

    @abstractmethod
    def figure(self, rows: Tensor, reference: Reference, weights: Tensor) -> Tensor:
        """Compute the figure of a set of samples.

        Args:
            rows: (B, …), as `rows` gives them.
            reference: What the samples are compared with.
            weights: (R, B) how often each sample counts in each of R resamples.

        Returns:
            (R,) float64; not a number where a resample allows no figure.
        """

    def _checked(self, rows: Tensor, count: int, dimensions: int) -> Tensor:
        if rows.shape[:1] != (count,) or rows.ndim != dimensions:
            raise ValueError(
                f"Expected the metric `{self.name}` to give a "
                f"{'value' if dimensions == 1 else 'vector'} for each of {count} samples, but got "
                f"a tensor of shape {tuple(rows.shape)}."
            )
        return rows.detach().cpu()


@dataclass(frozen=True, kw_only=True)
class SampleMetric(Metric):
    """A metric that each sample has for itself; a set has their mean.

    Attributes:
        values: From samples to (B,), a value for each.
        of_class: Whether the values are of the class pictures and not of the samples.
    """

    values: Callable[[Samples], Tensor]
    of_class: bool = False

    def rows(self, samples: Samples) -> Tensor:
        """See `Metric.rows`: (B,)."""
        if self.of_class and samples.class_pictures is None:
            raise ValueError(f"Expected class pictures for the metric `{self.name}`, but got none.")
        of = samples.class_pictures if self.of_class else samples.pictures
        count = len(of.pixels) if of is not None else 0
        return self._checked(self.values(samples), count, dimensions=1)

    def figure(self, rows: Tensor, reference: Reference, weights: Tensor) -> Tensor:
        """See `Metric.figure`: the weighted mean."""
        return weights.double() @ rows.double() / weights.double().sum(dim=1)


@dataclass(frozen=True, kw_only=True)
class SetMetric(Metric):
    """A metric that only a whole set has, such as a distance of two distributions.

    Attributes:
        vectors: From samples to (B, D), what it keeps of each.
        distance: From the vectors, the reference and (R, B) weights to (R,) figures.
    """

    vectors: Callable[[Samples], Tensor]
    distance: Callable[[Tensor, Reference, Tensor], Tensor]

    def rows(self, samples: Samples) -> Tensor:
        """See `Metric.rows`: (B, D)."""
        return self._checked(self.vectors(samples), len(samples.pictures.pixels), dimensions=2)

    def figure(self, rows: Tensor, reference: Reference, weights: Tensor) -> Tensor:
        """See `Metric.figure`."""
        return self.distance(rows, reference, weights).to(torch.float64)
