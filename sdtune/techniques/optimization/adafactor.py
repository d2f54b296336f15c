"""Adafactor at rates of its own, which it shows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Adafactor

from sdtune.techniques.optimization.parameter_groups import ParameterGroup

__all__ = ["RelativeStepAdafactor"]


class RelativeStepAdafactor(Adafactor):
    """Adafactor whose rates are a share of each tensor's size (Shazeer & Stern 2018, section 8).

    At step t a tensor X moves at `max(eps_2, RMS(X)) * min(1e-2, 1 / sqrt(t))`. Each group's `lr`
    is the mean over its tensors of the rate of the coming step, for curves to show: nothing reads
    it.

    Args:
        groups: Parameter groups with `params`; their `lr` is not used.
        weight_decay: Decoupled weight decay.
    """

    def __init__(self, groups: list[ParameterGroup], weight_decay: float) -> None:
        unrated = [{key: each[key] for key in each if key != "lr"} for each in groups]
        super().__init__(unrated, lr=None, weight_decay=weight_decay, relative_step=True)  # type: ignore[no-untyped-call]
        self._show_rates()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, see `torch.optim.Optimizer.step`."""
        loss = super().step(closure)  # type: ignore[no-untyped-call]
        self._show_rates()
        return loss

    @torch.no_grad()
    def _show_rates(self) -> None:
        for group in self.param_groups:
            group["lr"] = float(
                torch.stack([self._rate(each, group) for each in group["params"]]).mean()
            )

    def _rate(self, parameter: Tensor, group: ParameterGroup) -> Tensor:
        step = self.state[parameter]["step"] if parameter in self.state else 0
        size: Tensor = Adafactor._rms(parameter.float()).clamp(min=group["eps"][1])
        return size * min(1e-2, 1.0 / math.sqrt(step + 1))
