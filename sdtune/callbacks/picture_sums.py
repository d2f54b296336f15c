"""Losses added up by training picture, so that one picture can be compared with all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["BINS", "PictureSums"]

BINS = 10
"""Parts of the noise schedule inside which losses are comparable."""


class PictureSums:
    """Sums and counts of losses, by picture and by tenth of the noise schedule.

    Args:
        rows: Picture -> (2, 10) float64, sums and then counts.
    """

    def __init__(self, rows: Mapping[str, Tensor] | None = None) -> None:
        self.rows = dict(rows or {})

    def __add__(self, other: PictureSums) -> PictureSums:
        zero = torch.zeros(2, BINS, dtype=torch.float64)
        names = [*self.rows, *(name for name in other.rows if name not in self.rows)]
        return PictureSums(
            {name: self.rows.get(name, zero) + other.rows.get(name, zero) for name in names}
        )

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Any]) -> PictureSums:
        """Make the sums that `state_dict` described."""
        return cls(dict(zip(state_dict["names"], state_dict["sums"], strict=True)))

    def add(self, names: Sequence[str], losses: Tensor, bins: Tensor) -> None:
        """Count samples.

        Args:
            names: N pictures.
            losses: (N,) float64; those that are not finite are left out.
            bins: (N,) int64, tenths of the noise schedule, in [0, 10).
        """
        for name, loss, bin_ in zip(names, losses.tolist(), bins.tolist(), strict=True):
            row = self.rows.setdefault(name, torch.zeros(2, BINS, dtype=torch.float64))
            if math.isfinite(loss):
                row[0, bin_] += loss
                row[1, bin_] += 1

    def state_dict(self) -> dict[str, Any]:
        """Return `names`, and `sums` (P, 2, 10)."""
        empty = torch.zeros(0, 2, BINS, dtype=torch.float64)
        sums = torch.stack(list(self.rows.values())) if self.rows else empty
        return {"names": list(self.rows), "sums": sums}

    def summary(self) -> dict[str, dict[str, float]]:
        """Work out each picture's losses.

        Returns:
            Picture -> `loss`, its mean; `relative_loss`, as in `PictureLosses`; and `count`, its
            samples. Hardest first; pictures without a finite loss are left out.
        """
        names, sums = self.state_dict().values()
        means = sums[:, 0].sum(0) / sums[:, 1].sum(0).clamp(min=1)  # (P, 10) -> (10,)
        relative = (sums[:, 0] / means.clamp(min=torch.finfo(means.dtype).tiny)).sum(1)
        counts = sums[:, 1].sum(1)
        pictures = {
            name: {
                "loss": sums[number, 0].sum().item() / counts[number].item(),
                "relative_loss": relative[number].item() / counts[number].item(),
                "count": int(counts[number]),
            }
            for number, name in enumerate(names)
            if counts[number]
        }
        return dict(sorted(pictures.items(), key=lambda item: -item[1]["relative_loss"]))
