"""How far a style's mean colour lies from that of the base's own pictures, learned as they come."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["ColourShift"]


class ColourShift:
    """The step, one for each channel of latents, from the base's mean colour to the data's.

    Each sample's target is linear in its latents, so that a step of latents by `d` moves it by
    `slope * d`. What is kept is the `d` that comes nearest to what lies between targets and the
    base's predictions, in the mean over their area: the least squares of all samples seen so far.
    It is a statistic of the data, and no weight: nothing of it is in the adapter. All processes
    have the same one. One step serves for all noise levels, which it does where noise is high: in
    less of it the base sees colours by itself, and the step it would need is smaller.
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None

    @property
    def is_shared(self) -> bool:
        """Whether other processes wait for this one in `see`, also where it has no sample."""
        return dist.is_available() and dist.is_initialized()

    def see(self, differences: Tensor, slopes: Tensor, places: Tensor | None) -> Tensor:
        """Take some samples into account; every process calls this at the same steps.

        Args:
            differences: (N, C, h, w), the data's target less the base's prediction; N may be 0.
            slopes: (N,) float32, see `sdtune.functional.target_slope`.
            places: (N, 1, h, w), how much each place counts, or None if all count alike.

        Returns:
            (N, C, 1, 1) float32, by how much each base's prediction is to be moved; 0 as long as
            nothing was seen.
        """
        differences = differences.float()
        means, counts = differences.mean(dim=(2, 3)), torch.ones_like(slopes)
        if places is not None:
            total = places.float().sum(dim=(2, 3))  # (N, 1)
            means = (differences * places).sum(dim=(2, 3)) / total
            counts = (total[:, 0] > 0).float()
        counts = counts * means.isfinite().all(dim=1)  # one that is not would be in all that follow
        means = torch.where(counts[:, None] > 0, means, 0.0)
        # no matrix product: autocast would take it in half precision, whose sums come to a halt
        steps, weights = slopes[:, None] * means, slopes.square() * counts
        sums = torch.cat([steps.sum(dim=0), weights.sum()[None]])  # (C + 1,)
        if self.is_shared:
            dist.all_reduce(sums)
        self._sums = sums if self._sums is None else self._sums.to(sums.device) + sums
        step = self._sums[:-1] / self._sums[-1].clamp(min=torch.finfo(torch.float32).tiny)
        return (slopes[:, None] * step)[:, :, None, None]

    def state(self) -> Tensor | None:
        """Return what was seen, (C + 1,) float32 on the CPU; None if nothing was."""
        return None if self._sums is None else self._sums.detach().cpu()

    def restore(self, state: Tensor | None) -> None:
        """Go on from what `state` returned."""
        self._sums = state
