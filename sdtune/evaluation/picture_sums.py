"""Losses added up by training picture, so that one picture can be compared with all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sdtune.run_folder.picture_losses import PictureLoss

__all__ = ["BINS", "PictureSums"]

BINS = 10
"""Parts of the noise schedule inside which losses are comparable."""


class PictureSums:
    """Sums and counts of losses, by picture and by tenth of the noise schedule.

    Args:
        rows: Picture -> ten sums, and then ten counts. Numbers and no tensors: many small
            additions are what they are for.
    """

    def __init__(self, rows: Mapping[str, Sequence[float]] | None = None) -> None:
        self.rows = {name: list(row) for name, row in (rows or {}).items()}

    def __add__(self, other: PictureSums) -> PictureSums:
        total = PictureSums(self.rows)
        for name, row in other.rows.items():
            old = total.rows.get(name, [0.0] * (2 * BINS))
            total.rows[name] = [mine + theirs for mine, theirs in zip(old, row, strict=True)]
        return total

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Any]) -> PictureSums:
        """Make the sums that `state_dict` described."""
        rows = state_dict["sums"].flatten(1).tolist()  # (P, 2, 10) -> P x 20
        return cls(dict(zip(state_dict["names"], rows, strict=True)))

    def add(self, names: Sequence[str], losses: Sequence[float], bins: Sequence[int]) -> None:
        """Count samples.

        Args:
            names: Their pictures.
            losses: Their losses; those that are not finite are left out.
            bins: Tenths of the noise schedule that they were drawn in, from 0 to 9.
        """
        for name, loss, bin_ in zip(names, losses, bins, strict=True):
            row = self.rows.setdefault(name, [0.0] * (2 * BINS))
            if math.isfinite(loss):
                row[bin_] += loss
                row[BINS + bin_] += 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return `names`, and `sums` (P, 2, 10) float64."""
        sums = torch.tensor(list(self.rows.values()), dtype=torch.float64)
        return {"names": list(self.rows), "sums": sums.reshape(-1, 2, BINS)}

    def summary(self) -> dict[str, PictureLoss]:
        """Work out each picture's losses.

        Returns:
            Picture -> its losses. Hardest first; pictures without a finite loss are left out.
        """
        names, sums = self.state_dict().values()
        means = sums[:, 0].sum(0) / sums[:, 1].sum(0).clamp(min=1)  # (P, 10) -> (10,)
        relative = (sums[:, 0] / means.clamp(min=torch.finfo(means.dtype).tiny)).sum(1)
        counts = sums[:, 1].sum(1)
        pictures = {
            name: PictureLoss(
                loss=sums[number, 0].sum().item() / counts[number].item(),
                relative_loss=relative[number].item() / counts[number].item(),
                count=int(counts[number]),
            )
            for number, name in enumerate(names)
            if counts[number]
        }
        return dict(sorted(pictures.items(), key=lambda item: -item[1].relative_loss))
