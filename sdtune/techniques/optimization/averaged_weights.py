"""Weights that are an average of those in training: when each of the two is in the module."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor

__all__ = ["AveragedWeightsModule", "AveragingOptimizer", "second_average_problems"]

_TRAINED = "current_model_state"  # as Lightning's WeightAveraging names it


@runtime_checkable
class AveragingOptimizer(Protocol):
    """An optimizer that knows an average of the weights that it trains."""

    @property
    def holds_average(self) -> bool:
        """Whether the parameters are the average now."""
        ...

    def hold_average(self) -> None:
        """Put the average into the parameters, unless it is there."""
        ...

    def release_average(self) -> None:
        """Put the trained weights back, bit for bit."""
        ...


class AveragedWeightsModule(pl.LightningModule):
    """A LightningModule that trains some weights, and is judged by their average.

    With an `AveragingOptimizer`, the average is in the module while it is validated and once
    training has ended, and inside `averaged_weights`. A checkpoint's `state_dict` is the average,
    and its `current_model_state` what training goes on with: the layout of Lightning's
    `WeightAveraging`. With any other optimizer nothing happens, but that `averaged_weights` also
    knows the average of such a callback.
    """

    def __init__(self) -> None:
        super().__init__()
        self._has_exchanged = False

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Put the average that an optimizer or a callback keeps into the module, for a while.

        Such a callback is a `WeightAveraging`, as `EMAWeightAveraging` is. Without either this
        does nothing.
        """
        averaging = [] if self._has_exchanged else self._averaging_callbacks
        self._has_exchanged = self._has_exchanged or bool(averaging)
        for each in averaging:
            # it may stand behind the callback that asks, and not have counted this step yet
            each.on_train_batch_end(self.trainer, self, None, None, 0)
            # as the Trainer does it around a validation: the weights are exchanged, and back
            each.on_validation_epoch_start(self.trainer, self)
        try:
            with self._average_of_optimizer():
                yield
        finally:
            for each in averaging:
                each.on_validation_epoch_end(self.trainer, self)
                self._has_exchanged = False

    @contextmanager
    def _average_of_optimizer(self) -> Iterator[None]:
        if not self._averaging or self._holds_average:
            yield
            return
        self.hold_average()
        try:
            yield
        finally:
            self.release_average()

    def hold_average(self) -> None:
        """Put the average into the module. Called only where there is one, and it is not there."""
        for each in self._averaging:
            each.hold_average()

    def release_average(self) -> None:
        """Put the trained weights back, bit for bit. Called only after `hold_average`."""
        for each in self._averaging:
            each.release_average()

    def on_validation_start(self) -> None:
        """Validate the average."""
        if self.is_fitting and self._averaging and not self._holds_average:
            self.hold_average()

    def on_validation_end(self) -> None:
        """Go on with the trained weights."""
        if self.is_fitting and self._holds_average:
            self.release_average()

    def on_fit_end(self) -> None:
        """Keep the average: it is the result."""
        if self._averaging and not self._holds_average:
            self.hold_average()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the average, and beside it what training goes on with."""
        if not self._averaging:
            return
        with self.averaged_weights():
            checkpoint["state_dict"] = self._copied_state()
        if "optimizer_states" in checkpoint:
            checkpoint[_TRAINED] = self._trained_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the trained weights, if training is to go on."""
        # beside `averaging_state` they are a WeightAveraging callback's, which sees to them
        is_ours = _TRAINED in checkpoint and "averaging_state" not in checkpoint
        if is_ours and self.is_fitting:
            checkpoint["state_dict"] = checkpoint[_TRAINED]

    @property
    def is_fitting(self) -> bool:
        """Whether a Trainer trains this module, validation meanwhile included."""
        return self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING

    @property
    def _averaging_callbacks(self) -> list[WeightAveraging]:
        callbacks: list[Any] = [] if self._trainer is None else self._trainer.callbacks  # type: ignore[attr-defined]
        return [each for each in callbacks if isinstance(each, WeightAveraging)]

    @property
    def _averaging(self) -> list[AveragingOptimizer]:
        optimizers = [] if self._trainer is None else self._trainer.optimizers
        return [each for each in optimizers if isinstance(each, AveragingOptimizer)]

    @property
    def _holds_average(self) -> bool:
        return any(each.holds_average for each in self._averaging)

    def _trained_state(self) -> dict[str, Tensor]:
        held = self._holds_average
        if held:
            self.release_average()
        state = self._copied_state()
        if held:
            self.hold_average()
        return state

    def _copied_state(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.state_dict().items()}


def second_average_problems(trainer: pl.Trainer) -> list[str]:
    """List callbacks that average what an averaging optimizer has averaged already.

    Args:
        trainer: The trainer, for its callbacks.

    Returns:
        One sentence each.
    """
    averaging = (StochasticWeightAveraging, WeightAveraging)
    return [
        f"Expected no {type(each).__name__} in `trainer.callbacks`: this optimizer "
        "averages the weights itself. Leave the callback out, or choose another `optimizer`."
        for each in trainer.callbacks  # type: ignore[attr-defined]
        if isinstance(each, averaging)
    ]
