"""Runs of two processes compared with runs of one, that see the same pictures in a step.

    python -m tests.several_processes           # a row of the table in docs/several_gpus.md each

Each case trains on a model of random weights: alone with batches of four, and in two processes
(DDP over gloo) with batches of two, of seven pictures, so that an epoch's last batch is uneven.
What they learn differs by the order in which float32 numbers are added up.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from sdtune.techniques.base import DiffusionFineTuningModule
from tests.picture_folders import make_picture_folder
from tests.quiet_trainer import quiet_trainer
from tests.techniques.every_technique import LYCORIS, TECHNIQUES, data_for
from tests.tiny_models import make_micro_sd

__all__ = ["Difference", "compare", "train"]

PICTURES = 7
TOGETHER = 4
STEPS = 8


@dataclass(frozen=True)
class Difference:
    """How far what two processes learn is from what one does.

    Attributes:
        largest: Largest difference of an element.
        moved: Largest distance of an element from its first value.
        losses: Largest difference of a logged loss.
        curves: Names of the curves that both have.
    """

    largest: float
    moved: float
    losses: float
    curves: frozenset[str]


def compare(
    technique: str, optimizer: str, base: Path, pictures: Path, folder: Path, **arguments: Any
) -> Difference:
    """Train alone and in two processes, and compare.

    Args:
        technique: Name of one of `TECHNIQUES` or `LYCORIS`.
        optimizer: Name of the optimizer.
        base: Folder of a model.
        pictures: Folder of `PICTURES` pictures.
        folder: Where to write.
        **arguments: Of the technique, set on it.
    """
    first = _build(technique, optimizer, base, arguments)
    first.load_base()
    start = _learned(first)
    one, one_curves = train(
        _build(technique, optimizer, base, arguments), pictures, folder / "one", processes=1
    )
    two, two_curves = train(
        _build(technique, optimizer, base, arguments), pictures, folder / "two", processes=2
    )
    assert one.keys() == two.keys() == start.keys()
    shared = one_curves.keys() & two_curves.keys()
    return Difference(
        largest=max(float((one[name] - two[name]).abs().max()) for name in one),
        moved=max(float((one[name] - start[name]).abs().max()) for name in one),
        losses=max(_apart(one_curves[name], two_curves[name]) for name in shared),
        curves=frozenset(shared),
    )


def train(
    module: DiffusionFineTuningModule, pictures: Path, folder: Path, processes: int
) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """Train a technique.

    Args:
        module: The technique.
        pictures: Folder of pictures.
        folder: Where to write.
        processes: 1 or 2.

    Returns:
        What was learned, and the curves of losses.
    """
    data = data_for(module, pictures, batch_size=TOGETHER // processes, cache_dir=folder / "cache")
    several = {"devices": 2, "strategy": "ddp_fork"} if processes == 2 else {}
    trainer = quiet_trainer(
        max_steps=STEPS,
        max_epochs=-1,
        log_every_n_steps=1,
        logger=CSVLogger(folder, "", ""),
        num_sanity_val_steps=0,
        **several,
    )
    trainer.fit(module, data)
    with (folder / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.endswith("loss")]
    curves = {name: [float(row[name]) for row in rows if row[name]] for name in names}
    return _learned(module), curves


def _build(
    technique: str, optimizer: str, base: Path, arguments: dict[str, Any]
) -> DiffusionFineTuningModule:
    module = {**TECHNIQUES, **LYCORIS}[technique](str(base))
    for name, value in {"optimizer": optimizer, **arguments}.items():
        setattr(module, name, value)
    return module


def _learned(module: pl.LightningModule) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _apart(one: Sequence[float], two: Sequence[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, two, strict=True))


def main() -> int:
    """Print a row for each technique and optimizer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("technique", nargs="*", default=[*TECHNIQUES, *LYCORIS])
    parser.add_argument("--optimizer", nargs="*", default=["sgd_nesterov", "adamw"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="several_processes_") as name:
        folder = Path(name)
        base = make_micro_sd(folder / "base")
        pictures = make_picture_folder(folder / "pictures", PICTURES)
        for technique in arguments.technique:
            for optimizer in arguments.optimizer:
                place = folder / f"{technique}_{optimizer}"
                found = compare(technique, optimizer, base, pictures, place)
                print(  # noqa: T201
                    f"| `{technique}` | `{optimizer}` | {found.moved:.2g} | {found.largest:.1g} | "
                    f"{found.losses:.1g} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
