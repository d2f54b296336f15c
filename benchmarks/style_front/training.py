"""One run: a style, an arm, a seed; what is trained is kept in a file of its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from safetensors.torch import load_file, save_file

from benchmarks.quiet_training import quiet_training
from benchmarks.style_front.candidates import CANDIDATES
from sdtune import LoRAStyleModule, StyleDataModule

__all__ = ["Arm", "loaded", "trained", "untrained"]

# recipes/style_lora.yaml, but for length and batch: many short runs say more than few long ones
_RECIPE: Mapping[str, Any] = {
    "base": "nano",
    "rank": 16,
    "alpha": 16,
    "target_modules": "all",
    "learning_rate": 2e-3,
    "lr_schedule": "cosine",
    "warmup_steps": 20,
}
_DATA: Mapping[str, Any] = {
    "resolution": 64, "batch_size": 4, "caption_dropout": 0.1, "num_workers": 0,
}  # fmt: skip


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Args:
        name: Its name in files and tables.
        model: Arguments of the module that are not the recipe's.
        data: Arguments of the data that are not the recipe's.
        steps: Optimizer steps.
        candidate: Name of a trial of its own in `candidates.py`, and its arguments.
        averaged: Decay of an average of the weights, which is what is kept; None is off.
        title: Its name for readers.
    """

    name: str
    model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 300
    candidate: Mapping[str, Any] = field(default_factory=dict)
    averaged: float | None = None
    title: str = ""


def trained(
    arm: Arm, pictures: Path, seed: int, file: Path, device: str = "cpu"
) -> LoRAStyleModule:
    """Train, and write the weights; if there are some already, read them.

    Args:
        arm: The way.
        pictures: Folder of training pictures with captions.
        seed: Seed of the run.
        file: Where the weights are kept.
        device: `cpu` or `cuda`.

    Returns:
        The module, trained, on the device.
    """
    module = untrained(arm, seed)
    if file.exists():
        module.load_base()
        module.load_state_dict(load_file(file))
        return module.to(device)
    data = StyleDataModule(str(pictures), seed=seed, **{**_DATA, **arm.data})
    if hasattr(module, "data_folder"):
        module.data_folder = pictures
    with quiet_training():
        trainer = Trainer(
            max_steps=arm.steps,
            accelerator={"cpu": "cpu", "cuda": "gpu"}[device],
            devices=1,
            logger=False,
            callbacks=_callbacks(arm),
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {name: each.detach().clone() for name, each in module.state_dict().items()}
    partial = file.with_suffix(".partial")
    save_file(state, partial)
    partial.replace(file)
    return module.to(device)


def loaded(device: str = "cpu") -> LoRAStyleModule:
    """Return the base, with an adapter that changes nothing."""
    module = LoRAStyleModule(**_RECIPE)
    module.load_base()
    return module.to(device)


def untrained(arm: Arm, seed: int) -> LoRAStyleModule:
    """Make the module of an arm, not loaded yet."""
    arguments = {**_RECIPE, "seed": seed, **arm.model}
    candidate = dict(arm.candidate)
    kind = CANDIDATES[candidate.pop("name")] if candidate else LoRAStyleModule
    module = kind(**arguments)
    for name, value in candidate.items():
        if not hasattr(module, name):
            raise ValueError(f"Expected an attribute of {kind.__name__}, but got `{name}`.")
        setattr(module, name, value)
    return module


def _callbacks(arm: Arm) -> list[Any]:
    if arm.averaged is None:
        return []
    from lightning.pytorch.callbacks import EMAWeightAveraging

    return [EMAWeightAveraging(decay=arm.averaged)]
