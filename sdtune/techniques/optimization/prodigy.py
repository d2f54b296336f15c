"""Prodigy with an estimate for each parameter group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import prodigyopt

from sdtune.techniques.optimization.parameter_groups import ParameterGroup

__all__ = ["Prodigy"]


class Prodigy(prodigyopt.Prodigy):  # type: ignore[misc]
    """Prodigy (Mishchenko & Defazio 2023) that is run on each parameter group alone.

    Its estimate is of how far the parameters are from where they should be. prodigyopt makes one
    for all groups, which have to have one learning rate. A new word's vectors and the matrices of a
    LoRA are of other sizes and go other distances: here each group has its own estimate, and its
    learning rate is a factor on that.
    """

    param_groups: list[ParameterGroup]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, see `torch.optim.Optimizer.step`."""
        loss = None if closure is None else closure()
        groups = self.param_groups
        try:
            for group in groups:
                self.param_groups = [group]
                super().step()
        finally:
            self.param_groups = groups
        return loss
