"""Short runs on a model of random weights, and a record of what happened in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.lora_style import LoRAStyleModule
from tests.quiet_trainer import quiet_trainer
from tests.techniques.every_technique import Build, data_for

__all__ = ["Bench", "Run", "Trace", "small_lora"]


def small_lora(base: str) -> LoRAStyleModule:
    """Make the cheapest LoRA: four matrices or so."""
    return LoRAStyleModule(base, rank=2, target_modules=["to_v"], learning_rate=1e-2)


class Trace(pl.Callback):
    """Records batches, steps and validations.

    Attributes:
        batches: Of each training batch the epoch and the indices of its samples.
        learned: What is learned, after each training batch.
        validated: Of each validation batch the optimizer steps before it.
        sanity: Number of validation batches before training.
        modes: Names of torch's modes that were on in a training or a validation batch.
        norms: Norm of all gradients together, after each training batch.
        highest: Largest absolute value in a gradient, likewise.
    """

    def __init__(self) -> None:
        self.batches: list[tuple[int, tuple[int, ...]]] = []
        self.learned: list[dict[str, Tensor]] = []
        self.validated: list[int] = []
        self.sanity = 0
        self.modes: set[str] = set()
        self.norms: list[float] = []
        self.highest: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, *rest: Any) -> None:
        if torch.is_anomaly_enabled():
            self.modes.add("anomaly")
        if torch.are_deterministic_algorithms_enabled():
            self.modes.add("deterministic")

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        indices = tuple(int(each) for each in batch["index"])
        self.batches.append((trainer.current_epoch, indices))
        parameters = dict(pl_module.named_parameters())  # in a tenth of the time of its state
        self.learned.append({key: value.detach().clone() for key, value in parameters.items()})
        # they stay until the next batch
        gradients = [each.grad.flatten() for each in parameters.values() if each.grad is not None]
        if gradients:
            together = torch.cat(gradients)
            self.norms.append(float(together.norm()))
            self.highest.append(float(together.abs().max()))

    def on_validation_batch_start(self, trainer: Any, *rest: Any) -> None:
        if trainer.sanity_checking:
            self.sanity += 1
            return
        self.validated.append(trainer.global_step)
        if torch.is_inference_mode_enabled():
            self.modes.add("inference")


@dataclass
class Run:
    """A run that has ended."""

    trainer: pl.Trainer
    module: DiffusionFineTuningModule
    data: Any
    trace: Trace

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return self.trainer.global_step

    @property
    def learned(self) -> dict[str, Tensor]:
        """What was learned."""
        return learned(self.module)


@dataclass
class Bench:
    """Trains for an epoch, which is one batch for each of four pictures unless told otherwise.

    Attributes:
        base: Folder of a model of random weights.
        pictures: Folder of six pictures or four.
        folder: Where runs write.
        build: Makes a technique on a base.
    """

    base: Path
    pictures: Path
    folder: Path
    build: Build = small_lora
    plain_runs: dict[Build, Run] = field(default_factory=dict)
    first_values: dict[Build, dict[str, Tensor]] = field(default_factory=dict)

    def technique(self) -> DiffusionFineTuningModule:
        """Make a technique."""
        return self.build(str(self.base))

    def data(self, **arguments: Any) -> Any:
        """Make data for it; two batches of validation where it can have any."""
        held_out = {"validation_count": 2} if self.build is small_lora else {}
        plain = {"batch_size": 1, "flip": False, **held_out}
        return data_for(self.technique(), self.pictures, **plain | arguments)

    def trainer(self, callbacks: Any = None, **arguments: Any) -> pl.Trainer:
        """Make a Trainer of one epoch, without validation unless told otherwise."""
        given = callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []
        usual = {
            "max_epochs": 1,
            "max_steps": -1,
            "limit_val_batches": 0,
            "num_sanity_val_steps": 0,
            "default_root_dir": self.folder,
        }
        # the trace last: what others do at a hook has then been done
        return quiet_trainer(callbacks=[*given, Trace()], **usual | arguments)

    def fit(
        self,
        module: DiffusionFineTuningModule | None = None,
        data: Any = None,
        ckpt_path: Path | None = None,
        **arguments: Any,
    ) -> Run:
        """Train with arguments of the Trainer."""
        trainer = self.trainer(**arguments)
        run = Run(trainer, module or self.technique(), data or self.data(), trace_of(trainer))
        trainer.fit(run.module, run.data, ckpt_path=ckpt_path)
        return run

    def plain(self) -> Run:
        """Train with nothing else said, once for all rows."""
        if self.build not in self.plain_runs:
            self.plain_runs[self.build] = self.fit()
        return self.plain_runs[self.build]

    def fresh(self) -> dict[str, Tensor]:
        """Return what is learned before it is, made once for all rows."""
        if self.build not in self.first_values:
            module = self.technique()
            module.load_base()
            self.first_values[self.build] = learned(module)
        return self.first_values[self.build]


def trace_of(trainer: pl.Trainer) -> Trace:
    """Find the record of a Trainer's runs."""
    callbacks: list[pl.Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next(each for each in callbacks if isinstance(each, Trace))


def learned(module: pl.LightningModule) -> dict[str, Tensor]:
    """Copy what is learned."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
