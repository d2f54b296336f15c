"""Two linear layers, trained as a technique is: arguments, optimizer, schedule, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.method import Method
from tests.quiet_trainer import quiet_trainer

__all__ = ["TinyModule", "batches", "endless", "fit", "rates_of", "weights"]


class TinyModule(DiffusionFineTuningModule):
    """A layer of 5,120 weights, enough for states of 8 bits, and one with a rate of its own.

    Attributes:
        rates: Of the groups, one list a step.
    """

    def __init__(
        self,
        optimizer: Any = "sgd_nesterov",
        learning_rate: float = 1e-2,
        second_learning_rate: float | None = None,
        lr_schedule: Any = "constant",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
    ) -> None:
        method = Method(
            learns=[],
            learning_rates={
                "learning_rate": learning_rate,
                "second_learning_rate": second_learning_rate,
            },
        )
        super().__init__(
            method,
            optimizer=optimizer,
            weight_decay=weight_decay,
            lr_schedule=lr_schedule,
            warmup_steps=warmup_steps,
            seed=0,
        )
        self.rates: list[list[float]] = []
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first = nn.Linear(64, 80)
            self.second = nn.Linear(80, 4)
        every = pl.LightningModule.named_parameters(self)
        self._learned_names = dict.fromkeys(name for name, _ in every)

    def load_base(self, dtype: torch.dtype | None = None) -> None:
        pass

    def adapter(self) -> Any:
        return None

    def on_fit_start(self) -> None:
        pass

    def parameter_groups(self) -> list[dict[str, Any]]:
        rate, second = self.hparams["learning_rate"], self.hparams["second_learning_rate"]
        if second is None:
            return [{"name": "all", "params": list(self.parameters()), "lr": rate}]
        return [
            {"name": "first", "params": list(self.first.parameters()), "lr": rate},
            {"name": "second", "params": list(self.second.parameters()), "lr": second},
        ]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        generator = torch.Generator().manual_seed(self.global_step)
        inputs = batch + torch.randn(8, 64, generator=generator)
        return (self.second(self.first(inputs).tanh()) - 1).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val/loss", (self.second(self.first(batch).tanh()) - 1).square().mean())

    def on_before_optimizer_step(self, optimizer: Any) -> None:
        self.rates.append([group["lr"] for group in optimizer.param_groups])

    def _note_base(self, checkpoint: dict[str, Any]) -> None:
        pass

    def _check_base(self, checkpoint: Mapping[str, Any]) -> None:
        pass


class _Endless(IterableDataset):
    def __iter__(self) -> Any:
        return iter(torch.zeros(8, 64).expand(1000, 8, 64))


def batches(count: int) -> DataLoader:
    """Make an epoch of `count` batches."""
    return DataLoader(torch.zeros(count, 8, 64), batch_size=None)


def endless() -> DataLoader:
    """Make batches whose number nobody knows."""
    return DataLoader(_Endless(), batch_size=None)


def fit(
    module: TinyModule,
    loader: DataLoader | None = None,
    ckpt_path: Path | None = None,
    val_dataloaders: DataLoader | None = None,
    **arguments: Any,
) -> pl.Trainer:
    """Train, one step unless told otherwise."""
    trainer = quiet_trainer(**arguments)
    trainer.fit(
        module,
        batches(1) if loader is None else loader,
        val_dataloaders,
        ckpt_path=ckpt_path,
        weights_only=True,
    )
    return trainer


def rates_of(module: TinyModule) -> list[float]:
    """List the first group's rate at each step."""
    return [each[0] for each in module.rates]


def weights(module: TinyModule) -> dict[str, Tensor]:
    """Copy what learns."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
