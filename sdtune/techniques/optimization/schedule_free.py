"""Schedule-free AdamW whose average can be looked at without leaving a trace."""

from __future__ import annotations

from typing import Any

import schedulefree
import torch
from torch import Tensor

__all__ = ["AdamWScheduleFree"]


class AdamWScheduleFree(schedulefree.AdamWScheduleFree):  # type: ignore[misc]
    """AdamW whose average takes the place of a falling rate (Defazio et al. 2024).

    The package turns the trained weights into their average in place, and back: not to the last
    bit. Here the trained ones are kept aside meanwhile. It is in training mode from the start.
    """

    _trained: list[Tensor] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.train()

    @property
    def holds_average(self) -> bool:
        """Whether the parameters are the average now."""
        return self._trained is not None

    @torch.no_grad()
    def hold_average(self) -> None:
        """Put the average into the parameters, unless it is there."""
        if self._trained is None:
            self._trained = [each.detach().clone() for each in self._parameters()]
            self.eval()

    @torch.no_grad()
    def release_average(self) -> None:
        """Put the trained weights back, bit for bit."""
        if self._trained is not None:
            self.train()
            for parameter, trained in zip(self._parameters(), self._trained, strict=True):
                parameter.copy_(trained)
            self._trained = None

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state that was saved beside the trained weights."""
        super().load_state_dict(state_dict)
        self._trained = None
        for group in self.param_groups:  # saved perhaps while the average was looked at
            group["train_mode"] = True

    def _parameters(self) -> list[Tensor]:
        return [each for group in self.param_groups for each in group["params"]]
