"""What a training depends on, looked up while it is there, for its record."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

import sdtune
from sdtune._imports import installed_versions
from sdtune._run_steps import accumulation_schedule
from sdtune.evaluation.circumstances import device_name
from sdtune.run_folder.training_record import VERSION, TrainingRecord

__all__ = [
    "ACCUMULATION",
    "AVERAGES",
    "TRAINER_KEYS",
    "trainer_options",
    "training_record",
    "without_places",
]

ACCUMULATION = "accumulation_schedule"
"""Key of the recipe's trainer for what a `GradientAccumulationScheduler` does, epoch by epoch."""

AVERAGES = "averages"
"""Key of the recipe's trainer for callbacks that average the weights, by their names."""

_PACKAGES = (
    *("numpy", "pillow", "lightning", "diffusers", "transformers", "tokenizers", "peft"),
    *("safetensors", "bitsandbytes", "prodigyopt", "schedulefree"),
)
TRAINER_KEYS = (
    *("max_steps", "max_epochs", "accumulate_grad_batches", "gradient_clip_val"),
    *("gradient_clip_algorithm", "limit_train_batches", "overfit_batches", "precision"),
)
"""Options of the Trainer that change numbers."""

_PLACES = ("adapter", "class_dir", "folder", "instance_dir")
_NEVER = ("cache_dir", "num_workers")  # no bit depends on them
_MOST_FILES = 2_000


def trainer_options(trainer: Trainer) -> dict[str, Any]:
    """Collect the options of a Trainer that change numbers, and its schedule of accumulation.

    Args:
        trainer: The trainer, at any step.

    Returns:
        Key -> value; the schedule is None without one, else first epoch -> batches to a step.
    """
    options = {name: getattr(trainer, name) for name in TRAINER_KEYS}
    schedule = accumulation_schedule(trainer)
    if schedule is None:
        return {**options, ACCUMULATION: None}
    # what the Trainer itself has is the schedule's, of the epoch that it is in
    pairs = {str(epoch): schedule.scheduling[epoch] for epoch in schedule.epochs}
    return {**options, "accumulate_grad_batches": 1, ACCUMULATION: pairs}


def training_record(
    trainer: Trainer, module: LightningModule, data: Any, changes: Sequence[str] = ()
) -> TrainingRecord:
    """Look up what a training depends on.

    Args:
        trainer: The trainer.
        module: What trains, its base loaded.
        data: The data module, set up; or None.
        changes: What a resumed run has changed on its way.

    Returns:
        The record.
    """
    places: list[str] = []
    recipe: dict[str, Any] = {"model": _component("model", module, places)}
    if data is not None:
        recipe["data"] = _component("data", data, places)
    options = {name: _plain(value) for name, value in trainer_options(trainer).items()}
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    averages = sorted(_class_path(each) for each in callbacks if isinstance(each, WeightAveraging))
    options |= {AVERAGES: averages} if averages else {}
    recipe["trainer"] = {key: each for key, each in options.items() if each is not None}
    pictures = list(_words(getattr(data, "train_dataset", None)))
    beside = getattr(getattr(data, "train_dataset", None), "class_datasets", [])
    of_class = [each for dataset in beside for each in _words(dataset)]
    return TrainingRecord(
        version=VERSION,
        recipe=recipe,
        places=places,
        packages=_packages(),
        machine=_machine(trainer),
        threads=torch.get_num_threads(),
        processes=trainer.world_size,
        base=_base(module),
        pictures=_hash_of(pictures) if pictures else "",
        files=_few(pictures),
        class_files=_few(of_class),
        changes=list(changes),
    )


def _hash_of(pictures: Sequence[str]) -> str:
    return sha256("\n".join(pictures).encode(errors="surrogateescape")).hexdigest()


def _component(key: str, thing: Any, places: list[str]) -> dict[str, Any]:
    """Describe a module by its class and arguments, without the places that they name."""
    arguments = {
        str(name): _plain(value)
        for name, value in thing.hparams.items()
        if not str(name).startswith("_")
    }
    if hasattr(thing, "seed"):
        arguments["seed"] = thing.seed
    found: dict[str, Any] = without_places(arguments, key, places)
    return {"class_path": _class_path(thing), "init_args": found}


def without_places(value: Any, key: str, places: list[str], *, strict: bool = False) -> Any:
    """Take out what names a place on the disk.

    Args:
        value: A recipe's value, and what is in it.
        key: As one types it.
        places: Gets the keys of what is taken out.
        strict: Whether the value may be a stranger's: then all is a place that leads out of the
            current folder, or to something that is there.

    Returns:
        What is left.
    """
    if isinstance(value, list):
        whole = [*value] if not strict else [each for each in value if not _is_path(each)]
        if len(whole) != len(value):
            places.append(key)
        return [
            without_places(each, f"{key}[{number}]", places, strict=strict)
            for number, each in enumerate(whole)
        ]
    if not isinstance(value, dict):
        return value
    kept: dict[str, Any] = {}
    for name, each in value.items():
        if name in _NEVER:
            continue
        is_place = name in _PLACES or (name == "base" and Path(str(each)).exists())
        if each is not None and (is_place or (strict and _is_path(each))):
            places.append(f"{key}.{name}")
        else:
            kept[name] = without_places(each, f"{key}.{name}", places, strict=strict)
    return kept


def _is_path(value: Any) -> bool:
    if not isinstance(value, str) or not value:
        return False
    path = Path(value)
    try:
        return path.is_absolute() or ".." in path.parts or value[0] == "~" or path.exists()
    except (OSError, ValueError):  # no name that a file can have
        return False


def _plain(value: Any) -> Any:
    """Put a value in the form in which JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def _class_path(thing: object) -> str:
    name = type(thing).__qualname__
    is_public = getattr(sdtune, name, None) is type(thing) if name in sdtune.__all__ else False
    return f"sdtune.{name}" if is_public else f"{type(thing).__module__}.{name}"


def _packages() -> dict[str, str]:
    return {
        "sdtune": sdtune.__version__,
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # which names the build
        **installed_versions(*_PACKAGES),
    }


def _machine(trainer: Trainer) -> dict[str, str]:
    device = device_name(trainer.strategy.root_device)
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "device": device,
        **({"cuda": str(torch.version.cuda)} if device != "cpu" else {}),
    }


def _base(module: Any) -> dict[str, str]:
    fingerprint = getattr(getattr(module, "model", None), "fingerprint", None)
    parts = ("unet", "vae", "text_encoders")
    return {part: fingerprint(part) for part in parts} if fingerprint else {}


def _words(dataset: Any) -> Iterator[str]:
    """Yield the hash of each picture's file, and after it that of what is said of it."""
    pictures = getattr(dataset, "pictures", [])
    for each in pictures:
        digest = each.sha256 or (_hash(each.path) if len(pictures) <= _MOST_FILES else "")
        mask = _hash(each.mask) if each.mask and len(pictures) <= _MOST_FILES else ""
        said = sha256(repr((each.captions, each.repeats, mask)).encode()).hexdigest()
        yield f"{digest:64}{said}"


def _hash(path: Path) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError:  # a picture inside an archive
        return ""


def _few(words: list[str]) -> list[str]:
    short = [f"{each[:16]}:{each[64:72]}" for each in words]
    return short if len(words) <= _MOST_FILES else []
