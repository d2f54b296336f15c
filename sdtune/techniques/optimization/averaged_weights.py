"""Weights that are an average of those in training: when each of the two is in the module."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from sdtune._checks import ArgumentsError
from sdtune._run_steps import total_steps
from sdtune.techniques.optimization.late_averages import late_average_problems

__all__ = ["AveragedWeightsModule", "AveragingOptimizer", "second_average_problems"]

_TRAINED = "current_model_state"  # as Lightning's WeightAveraging names it
_AVERAGING = "averaging_state"  # likewise
_UNCORRECTED = "uncorrected_average"


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

    While such a callback has averaged nothing yet, its average is taken to be the trained weights:
    what it holds is a copy of those that training began with.

    A module may correct the average wherever it is looked at. What a callback goes on averaging is
    not corrected, so that nothing that is trained or resumed depends on who has looked.
    """

    def __init__(self) -> None:
        super().__init__()
        self._has_exchanged = False
        self._uncorrected: list[tuple[Tensor, Tensor]] = []
        self._has_told_of_none = False

    def setup(self, stage: str) -> None:
        """Let a callback count anew, which may have averaged another training before.

        A checkpoint, read later, has its own count.
        """
        super().setup(stage)
        self._has_told_of_none = False
        if stage == "fit":
            for each in self._averaging_callbacks:
                each._latest_update_step, each._latest_update_epoch = self.trainer.global_step, -1

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
            self._follow(each)
            # as the Trainer does it around a validation: the weights are exchanged, and back
            each.on_validation_epoch_start(self.trainer, self)
        uncorrected = self._correct() if any(map(_has_averaged, averaging)) else []
        try:
            with self._average_of_optimizer():
                yield
        finally:
            _write(uncorrected)
            for each in averaging:
                each.on_validation_epoch_end(self.trainer, self)
                self._has_exchanged = False
            self.tell_of_exchange()

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

    def corrected_by_average(self) -> Sequence[Tensor]:
        """List the parameters that `correct_average` changes; none by default."""
        return ()

    def correct_average(self) -> None:
        """Correct the average that is in the module; nothing by default."""
        return

    def tell_of_exchange(self) -> None:
        """Hear that other weights are in the module than before; nothing is done by default."""
        return

    def hold_average(self) -> None:
        """Put the average into the module. Called only where there is one, and it is not there."""
        for each in self._averaging:
            each.hold_average()
        self._correct()

    def release_average(self) -> None:
        """Put the trained weights back, bit for bit. Called only after `hold_average`."""
        for each in self._averaging:
            each.release_average()
        self.tell_of_exchange()

    def on_train_start(self) -> None:
        """Refuse a callback that would average nothing in all of the run.

        Raises:
            ArgumentsError: If there is one.
        """
        super().on_train_start()
        problems = late_average_problems(self.trainer, total_steps(self.trainer))
        if problems:
            raise ArgumentsError(problems)

    def on_train_epoch_end(self) -> None:
        """See to it that a callback which ends with its average ends with what has learned."""
        super().on_train_epoch_end()
        for each in self._averaging_callbacks:
            self._follow(each)

    def on_validation_start(self) -> None:
        """Validate the average."""
        for each in self._averaging_callbacks if self.is_fitting else []:
            self._follow(each)
        if self.is_fitting and self._averaging and not self._holds_average:
            self.hold_average()

    def on_validation_epoch_start(self) -> None:
        """Correct the average that a callback has put in just before."""
        super().on_validation_epoch_start()
        if any(map(_has_averaged, self._averaging_callbacks)):
            self._uncorrected = self._correct()

    def on_validation_epoch_end(self) -> None:
        """Let a callback, which has its average back by now, go on from what it was."""
        super().on_validation_epoch_end()
        averaging = self._averaging_callbacks
        if not averaging:
            return
        for each in averaging:
            each.on_validation_epoch_start(self.trainer, self)
        _write(self._uncorrected)
        for each in averaging:
            each.on_validation_epoch_end(self.trainer, self)
        self._uncorrected = []
        self.tell_of_exchange()

    def on_train_end(self) -> None:
        """Correct the average that a callback has left in the module: it is the result."""
        super().on_train_end()
        if any(map(_has_averaged, self._averaging_callbacks)):
            self._correct()

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
        if _AVERAGING in checkpoint and not any(map(_has_averaged, self._averaging_callbacks)):
            checkpoint["state_dict"] = {**checkpoint[_TRAINED]}
        elif _AVERAGING in checkpoint:
            average = checkpoint["state_dict"]
            corrected = self._corrected_state(average)
            checkpoint[_UNCORRECTED] = {name: average[name] for name in corrected}
            checkpoint["state_dict"] = {**average, **corrected}
        if not self._averaging:
            return
        with self.averaged_weights():
            checkpoint["state_dict"] = self._copied_state()
        if "optimizer_states" in checkpoint:
            checkpoint[_TRAINED] = self._trained_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the trained weights, if training is to go on."""
        # beside `averaging_state` they are a WeightAveraging callback's, which sees to them
        is_ours = _TRAINED in checkpoint and _AVERAGING not in checkpoint
        if is_ours and self.is_fitting:
            checkpoint["state_dict"] = checkpoint[_TRAINED]
        if self.is_fitting and self._averaging_callbacks and _UNCORRECTED in checkpoint:
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **checkpoint[_UNCORRECTED]}

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

    @torch.no_grad()
    def _follow(self, averaging: WeightAveraging) -> None:
        """Let an average of nothing be the trained weights, which are in the module now."""
        average = averaging._average_model
        if average is None or _has_averaged(averaging):
            return
        held = itertools.chain(average.module.parameters(), average.module.buffers())
        trained = itertools.chain(self.parameters(), self.buffers())
        _write([*zip(held, trained, strict=True)])
        if self.trainer.global_step and not self._has_told_of_none:
            self._has_told_of_none = True
            rank_zero_info(
                f"{type(averaging).__name__} has averaged nothing by step "
                f"{self.trainer.global_step}: until it does, the weights in training are "
                "validated, drawn, scored and written."
            )

    def _correct(self) -> list[tuple[Tensor, Tensor]]:
        """Correct an average; return what was corrected, each with its values before."""
        before = [(each, each.detach().clone()) for each in self.corrected_by_average()]
        self.correct_average()
        self.tell_of_exchange()
        return before

    def _corrected_state(self, average: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Correct an average that is not in the module; return what of it is corrected."""
        concerned = {id(each) for each in self.corrected_by_average()}
        named = [(name, each) for name, each in self.named_parameters() if id(each) in concerned]
        if not named:
            return {}
        trained = [(each, each.detach().clone()) for _, each in named]
        _write([(each, average[name]) for name, each in named])
        self.correct_average()
        corrected = {n: each.detach().to(average[n].device, copy=True) for n, each in named}
        _write(trained)
        return corrected

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


def _has_averaged(averaging: WeightAveraging) -> bool:
    average = averaging._average_model
    return average is not None and int(average.n_averaged) > 0


@torch.no_grad()
def _write(values: Sequence[tuple[Tensor, Tensor]]) -> None:
    for parameter, value in values:
        parameter.copy_(value)


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
