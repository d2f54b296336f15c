"""Finds the step at which losses or gradients stopped being numbers, without waiting for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

__all__ = ["Fault", "NotFiniteError", "NumberWatch"]

_NAMED = 4  # pictures in a sentence
_GROWTH = 5.0  # a loss that rose so many times was on its way
_SKIPPED = 50  # steps in a row; a scaler finds a scale that fits within some twenty


class NotFiniteError(ValueError):
    """Training came to what is not a finite number, and nothing of it was written."""


@dataclass(frozen=True)
class Fault:
    """Where numbers were lost first.

    Attributes:
        step: The optimizer step, counted from 1.
        what: `loss` or `gradient`.
        pictures: Names of the pictures whose losses are not finite; of all in the step, if those
            are finite and the gradient is not.
        timesteps: Their timesteps.
        share: How many of the step's pictures they are, in (0, 1].
        losses: Mean loss of each step before it, as far as they were looked at together.
    """

    step: int
    what: str
    pictures: Sequence[str] = ()
    timesteps: Sequence[int] = ()
    share: float = 1.0
    losses: Sequence[float] = ()

    def sentence(self) -> str:
        """Say where it was and what likely made it so."""
        names = [
            f"{name} at timestep {timestep}"
            for name, timestep in zip(self.pictures, self.timesteps, strict=True)
        ]
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        told = f" ({', '.join(names[:_NAMED])}{more})" if names else ""
        return f"The {self.what} of step {self.step} is not a finite number{told}. {self._cause()}"

    def _cause(self) -> str:
        finite = [each for each in self.losses if math.isfinite(each)]
        if finite and finite[-1] > _GROWTH * min(finite):
            return (
                f"The loss had risen from {min(finite):.3g} to {finite[-1]:.3g} before it: the "
                "learning rate is likely too high."
            )
        if self.share < 1.0:
            return (
                "Other pictures of that step are fine: likely these overflow the precision, or "
                "their files are wrong; look at them, or try `trainer.precision` 32-true."
            )
        return (
            "Likely the learning rate is too high, or a gradient grew too large: lower "
            "`model.learning_rate`, or set `trainer.gradient_clip_val` to 1."
        )


@dataclass(frozen=True)
class _Batch:
    step: int
    names: list[str]
    timesteps: Tensor
    losses: Tensor


@dataclass
class NumberWatch:
    """Remembers, on the device, what cannot be told without waiting for it.

    Attributes:
        scaled: Whether a scaler of gradients skips the steps whose gradients are not finite, as
            under `16-mixed`. Such steps change nothing: only a long row of them is a fault.
    """

    scaled: bool = False
    _batches: list[_Batch] = field(default_factory=list)
    _norms: list[tuple[int, Tensor]] = field(default_factory=list)
    _in_a_row: int = 0

    @property
    def last_step(self) -> int | None:
        """The last optimizer step that was not looked at yet; None if there is none."""
        return self._norms[-1][0] if self._norms else None

    def see_batch(self, step: int, names: Iterable[str], timesteps: Tensor, losses: Tensor) -> None:
        """Remember a batch.

        Args:
            step: The optimizer step that it is a part of, counted from 1.
            names: Of its B pictures.
            timesteps: (B,).
            losses: (B,), each picture's.
        """
        self._batches.append(_Batch(step, list(names), timesteps.detach(), losses.detach()))

    def see_gradients(self, step: int, gradients: Iterable[Tensor]) -> None:
        """Remember whether gradients, and the sum of their sizes, are finite.

        Args:
            step: The optimizer step that they are for, counted from 1.
            gradients: Of all that learns, before they are clipped.
        """
        # a sum: the largest element takes twice the time, and squares overflow long before this
        self._norms.append((step, get_total_norm(gradients, norm_type=1.0)))

    def look(self) -> Fault | None:
        """Wait for the device, look at what was remembered, and forget it.

        Returns:
            The first fault, or None.
        """
        batches, norms = self._batches, self._norms
        self.forget()
        losses = _fetched([each.losses for each in batches])
        lost_steps = dict.fromkeys(
            batch.step
            for batch, values in zip(batches, losses, strict=True)
            if not all(map(math.isfinite, values))
        )
        lost_norms = {
            step
            for (step, _), [norm] in zip(norms, _fetched([each for _, each in norms]), strict=True)
            if not math.isfinite(norm)
        }
        bad = {*lost_steps, *lost_norms}
        if self.scaled:
            for step, _ in norms:
                self._in_a_row = self._in_a_row + 1 if step in bad else 0
            if self._in_a_row < _SKIPPED:
                return None
        return _fault(min(bad), min(bad) in lost_steps, batches, losses) if bad else None

    def forget(self) -> None:
        """Forget what was remembered."""
        self._batches, self._norms = [], []


def _fetched(tensors: Sequence[Tensor]) -> list[list[float]]:
    """Bring tensors of one dimension, or none, from the device at once."""
    if not tensors:
        return []
    flat = [each.float().reshape(-1) for each in tensors]
    values = torch.cat(flat).tolist()
    found, start = [], 0
    for each in flat:
        found.append(values[start : start + len(each)])
        start += len(each)
    return found


def _fault(
    step: int, is_loss: bool, batches: Sequence[_Batch], losses: Sequence[Sequence[float]]
) -> Fault:
    pairs = list(zip(batches, losses, strict=True))
    before: dict[int, list[float]] = {}
    for batch, values in pairs:
        if batch.step < step:
            before.setdefault(batch.step, []).extend(values)
    of_step = [
        (name, timestep, math.isfinite(value))
        for batch, values in pairs
        if batch.step == step
        for name, timestep, value in zip(batch.names, batch.timesteps.tolist(), values, strict=True)
    ]
    wrong = [each for each in of_step if not (is_loss and each[2])]
    return Fault(
        step=step,
        what="loss" if is_loss else "gradient",
        pictures=[name for name, _, _ in wrong],
        timesteps=[timestep for _, timestep, _ in wrong],
        share=len(wrong) / len(of_step) if of_step else 1.0,
        losses=[fmean(values) for values in before.values()],
    )
