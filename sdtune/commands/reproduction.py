"""The recipe in an adapter's record, made ready to be trained by again.

It may be a stranger's. So it names classes that are trusted, no option of the Trainer but those
that change numbers, and no place on the disk: these are given by the call.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtune.adapters import registry
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.commands.errors import CallError
from sdtune.commands.recipe import CLASS_KEYS, read_yaml
from sdtune.data.made_captions import recorded_captions
from sdtune.evaluation.recorded_training import (
    ACCUMULATION,
    AVERAGES,
    TRAINER_KEYS,
    without_places,
)
from sdtune.files import tensor_file
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.training_record import TrainingRecord, read_record

__all__ = ["Recorded", "again", "recorded"]

_LEVELS = 4  # a file lies in runs/<recipe>/<version>/adapter/<step>/peft at most
_KEY = re.compile(r"(model|data)(\.\w+|\[\d+\])+")
_PARTS = re.compile(r"\w+")


@dataclass(frozen=True)
class Recorded:
    """What is known of an adapter.

    Attributes:
        files: Its files, words first.
        record: What it was trained by and with.
        steps: Optimizer steps that it had taken.
        dtype: Of its files.
        started_from: SHA-256 of the adapter that its training went on from, if it did.
        run: The run folder that it lies in, if it does.
        captions: SHA-256 of a picture's file -> the caption that was made for it.
    """

    files: list[Path]
    record: TrainingRecord
    steps: int
    dtype: str
    started_from: str
    run: RunFolder | None
    captions: dict[str, str] = field(default_factory=dict)


def recorded(adapter: Path) -> Recorded:
    """Read an adapter's record.

    Args:
        adapter: A file, a folder, or a run folder.

    Returns:
        What is known of it.

    Raises:
        OSError: If there is no adapter.
        ValueError: If it has no record, or one that is damaged.
    """
    files = find_adapter_files(adapter)
    metadata = registry.recognise(files[-1]).metadata(files[-1])
    record = read_record(metadata, str(files[-1]))
    steps = metadata.get("sdtune.steps", "")
    if not steps.isdecimal() or int(steps) < 1:
        raise ValueError(
            f"Expected `sdtune.steps` in {files[-1]} to be a positive integer, but got `{steps}`."
        )
    path = adapter.resolve()
    runs = (RunFolder(each) for each in [path, *path.parents][: _LEVELS + 1])
    return Recorded(
        files=files,
        record=record,
        steps=int(steps),
        dtype=_dtype(files[-1]),
        started_from=metadata.get("sdtune.adapter_sha256", ""),
        run=next((each for each in runs if each.config.is_file()), None),
        captions=recorded_captions(metadata.get("sdtune.made_captions", "")),
    )


def again(found: Recorded, given: Collection[str], *, follow_paths: bool) -> dict[str, Any]:
    """Make a recipe that trains an adapter again.

    Args:
        found: What is known of it.
        given: Keys that the call gives, such as `data.folder`.
        follow_paths: Whether places that the call does not give are those of the run's recipe.

    Returns:
        The recipe, complete with what the call gives.

    Raises:
        CallError: If something is not given, or the record cannot be trained by; with all of it.
    """
    record = found.record
    problems: list[str] = []
    if record.processes != 1:
        problems.append(
            f"Expected an adapter that one process has trained, but {record.processes} did: start "
            "them by `sdtune fit` and the run's config.yaml, and compare the files."
        )
    unnamed: list[str] = []  # by an honest record all are in `places`
    recipe = _classes(record, unnamed, problems)
    config = _run_recipe(found.run)
    trainer = record.recipe.get("trainer", {})
    options = dict(trainer) if isinstance(trainer, dict) else {}
    averages, accumulation = options.pop(AVERAGES, []), options.pop(ACCUMULATION, None)
    if unknown := sorted(options.keys() - {*TRAINER_KEYS}):
        problems.append(f"Expected the record's `trainer` to hold no `{unknown[0]}`.")
    for key in dict.fromkeys([*record.places, *unnamed]):
        if not _KEY.fullmatch(key):
            problems.append(f"Expected the record's `places` to be keys, but got {key!r}.")
            continue
        if any(key == each or key.startswith((f"{each}.", f"{each}[")) for each in given):
            continue
        value = _looked_up(config, key)
        if not follow_paths or value is None:
            problems.append(_not_given(key, value))
        elif not _put(recipe, key, value):
            problems.append(f"Expected the record to have a place for `{key}`, but it has none.")
    callbacks = [*_averages(averages, config, problems), *_accumulation(accumulation, problems)]
    if problems:
        raise CallError([f"{found.files[-1]}: {each}" for each in problems])
    checkpoint = {"every_n_steps": 10**9, "dtype": found.dtype}  # the last step alone
    callbacks.append({"class_path": "sdtune.AdapterCheckpoint", "init_args": checkpoint})
    callbacks.append({"class_path": "sdtune.Progress"})
    device = {"accelerator": "cpu"} if record.machine.get("device") == "cpu" else {}
    fixed = {"devices": 1, "limit_val_batches": 0, "callbacks": callbacks, **device}
    return {**recipe, "trainer": {**options, **fixed}}


def _classes(record: TrainingRecord, places: list[str], problems: list[str]) -> dict[str, Any]:
    """Take the classes and their arguments, without what could be a place."""
    recipe: dict[str, Any] = {}
    for key in CLASS_KEYS:
        part = record.recipe.get(key)
        if not isinstance(part, dict) or not isinstance(part.get("class_path"), str):
            problems.append(f"Expected the record to name a class for `{key}`, but it does not.")
            continue
        arguments = without_places(part.get("init_args", {}), key, places, strict=True)
        recipe[key] = {"class_path": part["class_path"], "init_args": arguments}
    return recipe


def _not_given(key: str, value: Any) -> str:
    option = key.partition("[")[0]
    hint = (
        f" Its run's recipe says `{value}`: `--follow_paths` takes the paths in it."
        if value is not None
        else ""
    )
    return (
        f"Expected `--{option}` to be given, for `{key}` was a place on a disk, which a record "
        f"does not name.{hint}"
    )


def _averages(
    names: Any, config: Mapping[str, Any], problems: list[str]
) -> Iterator[dict[str, Any]]:
    """Find the callbacks that average weights, whose arguments are in the run's recipe alone."""
    trainer = config.get("trainer")
    callbacks = trainer.get("callbacks") if isinstance(trainer, dict) else None
    entries = [each for each in callbacks or [] if isinstance(each, dict)]
    for name in names if isinstance(names, list) else []:
        ending = str(name).rpartition(".")[2]
        entry = next(
            (e for e in entries if str(e.get("class_path")).rpartition(".")[2] == ending), None
        )
        if entry is None:
            problems.append(
                f"Expected the folder of the run, for {ending} averaged the weights, and how is in "
                "its config.yaml alone."
            )
        else:
            yield entry


def _accumulation(schedule: Any, problems: list[str]) -> Iterator[dict[str, Any]]:
    """Make the callback that sums gradients over other numbers of batches in later epochs."""
    if schedule is None:
        return
    pairs = schedule.items() if isinstance(schedule, dict) else [("", 0)]
    if not all(str(epoch).isdecimal() and type(each) is int and each > 0 for epoch, each in pairs):
        problems.append(
            f"Expected the record's `{ACCUMULATION}` to name positive numbers of batches by the "
            f"epochs that they begin at, but got {schedule!r}."
        )
        return
    scheduling = {int(epoch): each for epoch, each in pairs}
    name = "lightning.pytorch.callbacks.GradientAccumulationScheduler"
    yield {"class_path": name, "init_args": {"scheduling": scheduling}}


def _run_recipe(run: RunFolder | None) -> dict[str, Any]:
    return {} if run is None else read_yaml(run.latest_config)


def _path_to(key: str) -> list[str | int]:
    part, *others = _PARTS.findall(key)
    return [part, "init_args", *(int(each) if each.isdecimal() else each for each in others)]


def _looked_up(config: Any, key: str) -> Any:
    for part in _path_to(key):
        try:
            config = config[part]
        except (IndexError, KeyError, TypeError):
            return None
    return deepcopy(config)


def _put(recipe: dict[str, Any], key: str, value: Any) -> bool:
    place: Any = recipe
    *parts, last = _path_to(key)
    try:
        for part in parts:
            place = place[part]
        place[last] = value
    except (IndexError, KeyError, TypeError):
        return False
    return True


def _dtype(path: Path) -> str:
    file = path if path.is_file() else next(iter(sorted(path.rglob("*.safetensors"))))
    types = [str(each.dtype) for each in tensor_file.read_tensors(file).values()]
    most = max(types, key=types.count, default="torch.float32").removeprefix("torch.")
    return most if most in ("float16", "bfloat16") else "float32"
