"""Small classes for the commands to build: a model, a data module and a callback."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringDataModule, BoringModel

from sdtune.data.pictures import Picture


class Toy(BoringModel):
    def __init__(
        self,
        rank: int = 4,
        learning_rate: float = 0.1,
        optimizer: Literal["adamw", "sgd"] = "adamw",
        target_modules: Literal["attention"] | list[str] = "attention",
        fail_at: int | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if rank < 1:
            raise ValueError(f"Expected `rank` to be a positive integer, but got {rank}.")
        self.save_hyperparameters()
        self.fail_at = fail_at

    def training_step(self, batch, batch_idx):
        if batch_idx == self.fail_at:
            raise ValueError("Expected the loss to be finite, but got nan.")
        loss = super().training_step(batch, batch_idx)["loss"]
        self.log("train/loss", loss)
        return loss


class OtherToy(BoringModel):
    def __init__(self, rank: int = 4, momentum: float = 0.9) -> None:
        super().__init__()
        self.save_hyperparameters()


class ToyData(BoringDataModule):
    def __init__(self, folder: str | Path, batch_size: int = 1, seed: int = 42) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.split_seed = seed
        pictures = [Picture(self.folder / name, name, "a toy") for name in ("a.png", "b.png")]
        self.train_dataset = self.val_dataset = SimpleNamespace(pictures=pictures)

    def problems(self) -> list[str]:
        if self.folder.exists():
            return []
        return [
            f"{self.folder}: no such folder; name one with `data.folder`.",
            "captions: none; write one beside each picture.",
        ]


class Last(ModelCheckpoint):
    def __init__(self, every_n_steps: int = 1) -> None:
        if every_n_steps < 1:
            raise ValueError(f"Expected `every_n_steps` to be positive, but got {every_n_steps}.")
        super().__init__(save_last=True, save_top_k=0, every_n_train_steps=every_n_steps)


class DyingToy(Toy):
    """Of several processes the second one dies in its second step, or one is asked to end early."""

    def __init__(
        self,
        how: Literal["raises", "is killed", "first is asked", "second is asked"] = "raises",
    ) -> None:
        super().__init__()
        self.how = how

    def configure_callbacks(self):
        if self.how == ("first is asked", "second is asked")[self.global_rank]:
            os.kill(os.getpid(), signal.SIGTERM)  # before the processes know of each other
        return []

    def training_step(self, batch, batch_idx):
        if self.global_rank == 1 and batch_idx == 1 and not self.how.endswith("asked"):
            if self.how == "is killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise MemoryError("the second GPU is full")
        return super().training_step(batch, batch_idx)
