"""A LightningModule that writes nothing that is not finite, and can go back to where it was."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.nn.utils import get_total_norm

from sdtune._checks import check_not_negative
from sdtune._run_steps import may_train
from sdtune.techniques.compiled_module import CompiledModule
from sdtune.techniques.local_checkpoints import keep_to_this_machine, remote_checkpoint_problem
from sdtune.techniques.number_watch import Fault, NotFiniteError, NumberWatch
from sdtune.techniques.optimization.lr_schedules import RateSchedule
from sdtune.techniques.trainer_problems import trainer_notes

__all__ = ["WatchedModule", "check_roll_backs"]

_ROLL_BACKS = "roll_backs_taken"
_UNDONE = "steps_undone"
_WRITTEN = ("state_dict", "current_model_state", "optimizer_states")
"""What of a checkpoint must be finite."""


@dataclass(frozen=True)
class _GoodState:
    """What training goes back to, on the CPU.

    Attributes:
        step: Optimizer steps that were taken when it was kept.
        steps_kept: Those of them whose work is in it.
        weights: Name -> what learns.
        optimizers: The state of each optimizer.
    """

    step: int
    steps_kept: int
    weights: Mapping[str, Tensor]
    optimizers: list[dict[str, Any]]


def check_roll_backs(roll_backs: int, optimizer: str) -> None:
    """Check that training can go back, if it is to.

    Args:
        roll_backs: How often.
        optimizer: Name of the optimizer, which need not exist.

    Raises:
        ValueError: If it is below 0, or the optimizer's rates cannot be halved.
    """
    check_not_negative("roll_backs", roll_backs)
    if roll_backs and optimizer == "adafactor_relative_step":
        raise ValueError(
            f"Expected `roll_backs` to be 0 with `optimizer` `{optimizer}`, which sets its rates "
            f"itself, but got {roll_backs}."
        )


class WatchedModule(CompiledModule):
    """What learns, watched: a loss, gradient or weight that is not finite is never written.

    Whether numbers are finite is noted on the device and read every `trainer.log_every_n_steps`
    steps, and before anything is validated, drawn or written, so that no step waits for it. All
    processes come to the same answer. Under `16-mixed` the scaler skips steps whose gradients
    overflow, and those are no faults.

    Args:
        roll_backs: How often training goes back to the last state that was seen to be good, with
            half the rates, when numbers are lost; after that, and with 0, it stops. Steps count
            on. Beside 0, copies of what learns and of the optimizer's state are kept in memory.
        **arguments: As for `CompiledModule`.
    """

    def __init__(self, *, roll_backs: int = 0, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.roll_backs = roll_backs
        self._roll_backs_taken = self._steps_undone = 0
        self._watch = NumberWatch()
        self._good: _GoodState | None = None

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **arguments: Any) -> Self:
        """As Lightning's, of a file on this machine: one from the web would be unpickled whole.

        Raises:
            ValueError: If it is an address.
        """
        problem = remote_checkpoint_problem(checkpoint_path)
        if problem:
            raise ValueError(problem)
        loaded: Self = super().load_from_checkpoint(checkpoint_path, *args, **arguments)
        return loaded

    def configure_callbacks(self) -> list[pl.Callback]:
        """Compare with the Trainer and the data, and let no checkpoint come from the web."""
        keep_to_this_machine(self.trainer)
        return super().configure_callbacks()

    def setup(self, stage: str) -> None:
        """Count the roll-backs of this training alone; a checkpoint, read later, has its own."""
        super().setup(stage)
        if stage == "fit":
            self._roll_backs_taken = self._steps_undone = 0

    def configure_model(self) -> None:
        """Load the base and add what learns, laid out so that a split model's can be resumed.

        FSDP cuts weights as they lie in memory, and the optimizer's state, when it is read, as it
        is counted: of weights whose channels lie last it would be that of other elements.
        """
        super().configure_model()
        if self._trainer is not None and isinstance(self.trainer.strategy, FSDPStrategy):
            unet: Any = self.model.unet  # torch's annotations know of no format alone
            unet.to(memory_format=torch.contiguous_format)

    def problems_with_trainer(self, trainer: pl.Trainer) -> list[str]:
        """List what keeps this technique from being trained by a Trainer; loads no weights."""
        problems = super().problems_with_trainer(trainer)
        split = (DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy)
        beside = [type(each).__name__ for each in self._averaging_callbacks]
        if isinstance(trainer.strategy, split):
            beside.append(type(trainer.strategy).__name__)
        if self.roll_backs and beside and may_train(trainer):
            problems.append(
                f"Expected `model.roll_backs` to be 0 beside {beside[0]}, whose state cannot be "
                f"set back, but got {self.roll_backs}."
            )
        if self.quantization is not None and isinstance(trainer.strategy, split):
            problems.append(
                "Expected `model.quantization` to be null beside "
                f"{type(trainer.strategy).__name__}, which splits no bytes, but got "
                f"`{self.quantization}`: with `trainer.strategy` ddp each device holds it whole."
            )
        return problems

    def notes_with_trainer(self, trainer: pl.Trainer) -> list[str]:
        """Say what other numbers of processes do differently; loads no weights."""
        return trainer_notes(trainer, self.learns)

    @property
    def steps_kept(self) -> int:
        """Optimizer steps whose work is in what learns: those taken, less those undone."""
        return self.global_step - self._steps_undone

    def check_numbers(self) -> None:
        """Look at all numbers since the last look. Called on every rank.

        Raises:
            NotFiniteError: If one was not finite, and training is not to go back any more.
        """
        step = self._watch.last_step
        if step is None:
            return
        fault = self._first_fault(self._watch.look() or self._fault_of_weights(step))
        if fault is None:
            self._keep(step)
        elif self._good is not None and self._roll_backs_taken < self.roll_backs:
            self._roll_back(self._good, step, fault)
        else:
            way_out = (
                f"Training went back {self._roll_backs_taken} of {self.roll_backs} times."
                if self.roll_backs
                else "`model.roll_backs` lets training go back and halve its rates by itself."
            )
            raise NotFiniteError(
                f"{fault.sentence()} Nothing of it was written: checkpoints and adapters are of "
                f"earlier steps, and `--resume` goes on from there. {way_out}"
            )

    def keep_good_state(self) -> None:
        """Let training go back to this step, if it is good, and not behind it.

        For what ends at a step and does not learn again. Called on every rank.
        """
        if not self.roll_backs:
            return
        taken = self._roll_backs_taken
        self.check_numbers()
        is_kept = self._good is not None and self._good.step == self.global_step
        if taken == self._roll_backs_taken and not is_kept:  # a checkpoint had it looked at
            self._keep(self.global_step)

    def on_train_start(self) -> None:
        """Begin to watch, from the state that training starts or resumes from."""
        super().on_train_start()
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        self._watch = NumberWatch(scaled=scaler is not None)
        self._keep(self.global_step)

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        """Note whether the gradients are finite, before they are clipped."""
        super().on_before_optimizer_step(optimizer)
        learned = (each for group in optimizer.param_groups for each in group["params"])
        gradients = [each.grad for each in learned if each.grad is not None]
        self._watch.see_gradients(self.global_step + 1, gradients)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, correct what it has moved too far, and look at the numbers now and then."""
        super().optimizer_step(*args, **kwargs)
        for each in self.learns:
            each.after_step(self.model)
        step = self.global_step + 1  # it is counted after this
        interval = self.trainer.log_every_n_steps or math.inf  # type: ignore[attr-defined]
        if step % interval == 0 or step == self.trainer.max_steps:
            self.check_numbers()

    def on_validation_start(self) -> None:
        """Validate nothing that is not finite."""
        if self.is_fitting and not self.trainer.sanity_checking:
            self.check_numbers()
        super().on_validation_start()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write nothing that is not finite.

        Raises:
            NotFiniteError: If anything that was learned, or an optimizer's state, is not finite.
        """
        super().on_save_checkpoint(checkpoint)
        checkpoint[_ROLL_BACKS] = self._roll_backs_taken
        checkpoint[_UNDONE] = self._steps_undone
        seen = self._watch.look()
        lost = next(_not_finite({name: checkpoint.get(name) for name in _WRITTEN}), None)
        if lost is not None and seen is None:
            seen = Fault(self.global_step, f"`{lost}`")
        fault = self._first_fault(seen)
        if fault is not None:
            raise NotFiniteError(f"{fault.sentence()} The checkpoint was not written.")

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Recall how often training has gone back, and how far."""
        super().on_load_checkpoint(checkpoint)
        self._roll_backs_taken = int(checkpoint.get(_ROLL_BACKS, 0))
        self._steps_undone = int(checkpoint.get(_UNDONE, 0))

    @property
    def _bar_reads_what_is_logged(self) -> bool:
        """Whether a progress bar shows logged values: Lightning waits for them at every step."""
        bar = None if self._trainer is None else self.trainer.progress_bar_callback
        return bar is not None and not hasattr(type(bar), "loss")  # ours smooths its own

    @property
    def _processes(self) -> int:
        return 1 if self._trainer is None else self.trainer.world_size

    def _log_of_all_processes(self, losses: dict[str, Tensor], count: int) -> None:
        """Log means over all processes, which wait for each other only when they are written."""
        values = torch.stack([each.detach() for each in losses.values()])
        if self._processes > 1 and self.trainer._logger_connector.should_update_logs:
            values = cast(Tensor, self.trainer.strategy.reduce(values, reduce_op="mean"))
        for name, value in zip(losses, values, strict=True):
            is_shown = name == "train/loss" and self._bar_reads_what_is_logged
            self.log(name, value, prog_bar=is_shown, batch_size=count)

    def _fault_of_weights(self, step: int) -> Fault | None:
        # of a split model a process may hold nothing of a weight
        weights = [each.detach() for each in self.parameters() if each.numel()]
        if not weights or math.isfinite(get_total_norm(weights, norm_type=math.inf).item()):
            return None
        return Fault(step, "result")

    def _first_fault(self, own: Fault | None) -> Fault | None:
        """Find the first fault of all processes, which all of them then know."""
        if self._trainer is None or not self.trainer.strategy.reduce_boolean_decision(
            own is not None, all=False
        ):
            return own
        found: list[Fault | None] = [own]
        if dist.is_available() and dist.is_initialized():
            found = [None] * dist.get_world_size()
            dist.all_gather_object(found, own)
        # one process's loss makes the gradients of all: its pictures are those to look at
        return min(filter(None, found), key=lambda each: (each.step, each.what != "loss"))

    def _keep(self, step: int) -> None:
        if not self.roll_backs:
            return
        optimizers = self.trainer.optimizers
        self._good = _GoodState(
            step,
            step - self._steps_undone,
            {name: _copied(each) for name, each in self.named_parameters()},
            [apply_to_collection(each.state_dict(), Tensor, _copied) for each in optimizers],
        )

    @torch.no_grad()
    def _roll_back(self, good: _GoodState, step: int, fault: Fault) -> None:
        self._roll_backs_taken += 1
        self._steps_undone = step - good.steps_kept
        for name, each in self.named_parameters():
            each.copy_(good.weights[name])
        for optimizer, state in zip(self.trainer.optimizers, good.optimizers, strict=True):
            # a copy: the optimizer goes on with what it is given
            optimizer.load_state_dict(apply_to_collection(state, Tensor, _copied))
        for config in self.trainer.lr_scheduler_configs:
            if isinstance(config.scheduler, RateSchedule):
                config.scheduler.halve()
        rank_zero_warn(
            f"{fault.sentence()} What is learned is set back to that of step {good.step}, and "
            f"training goes on with half the rates ({self._roll_backs_taken} of "
            f"{self.roll_backs} times)."
        )


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)


def _not_finite(content: Any, name: str = "") -> Iterator[str]:
    """Name the tensors in nested mappings and lists that hold what is not finite."""
    if type(content) in (Tensor, torch.nn.Parameter):  # pieces of a split one are not looked at
        if content.is_floating_point() and not bool(content.isfinite().all()):
            yield name
    elif isinstance(content, Mapping):
        for key, value in content.items():
            yield from _not_finite(value, f"{name}.{key}".lstrip("."))
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from _not_finite(value, f"{name}.{number}")
