"""What a run's result depends on, and whether a checkpoint can go on with a recipe."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from enum import Enum
from inspect import signature
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from sdtune.callbacks.averaging_arguments import averages_of, without_arguments
from sdtune.callbacks.found_values import found_names, is_finder
from sdtune.evaluation.recorded_training import trainer_options
from sdtune.run_folder.recipe_changes import (
    Change,
    RecipeChangedError,
    recipe_changes,
    refusals,
)

__all__ = ["check_recipe", "recipe_of"]

_AVERAGES = "trainer.averages"


def recipe_of(trainer: Trainer, module: LightningModule, data: Any) -> dict[str, Any]:
    """Collect what a run's result depends on, as plain values.

    Args:
        trainer: The trainer.
        module: What trains.
        data: The data module, or None.

    Returns:
        Key, as one types it -> value.
    """
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]
    recipe = {"model": _class(module), **dict(_arguments("model", module.hparams))}
    if data is not None:
        recipe |= {"data": _class(data), **dict(_arguments("data", data.hparams))}
        recipe |= {"data.seed": data.seed} if hasattr(data, "seed") else {}
        recipe |= dict(_content(data))
    options = trainer_options(trainer)
    recipe |= {f"trainer.{name}": _plain(value) for name, value in options.items()}
    recipe["trainer.devices"] = trainer.world_size
    recipe[_AVERAGES] = averages_of(callbacks)
    looking_on = (each for each in callbacks if _is_public(each) and not is_finder(each))
    recipe["trainer.callbacks"] = sorted({*map(_class, looking_on)})
    return recipe


def check_recipe(
    trainer: Trainer, module: LightningModule, data: Any, checkpoint: Mapping[str, Any]
) -> list[Change]:
    """Compare the recipe with that of a checkpoint.

    Args:
        trainer: The trainer.
        module: What is to train.
        data: The data module, or None.
        checkpoint: What `checkpoint_file.read_content` returned, or Lightning has read.

    Returns:
        What has changed and may.

    Raises:
        RecipeChangedError: If something has changed that cannot; it lists all of it.
    """
    states = map(_mapping, _mapping(checkpoint.get("callbacks")).values())
    before = {
        **dict(_arguments("model", _mapping(checkpoint.get("hyper_parameters")))),
        **dict(_arguments("data", _mapping(checkpoint.get("datamodule_hyper_parameters")))),
        **next((_mapping(each["recipe"]) for each in states if "recipe" in each), {}),
    }
    now = recipe_of(trainer, module, data)
    for part, made in (("model", module), ("data", data)):
        if any(key.startswith(f"{part}.") for key in before):
            before = {**_defaults(part, type(made)), **before}
    if before.get(_AVERAGES) == without_arguments(now[_AVERAGES]):
        before[_AVERAGES] = now[_AVERAGES]  # an older sdtune did not know their arguments
    for name in found_names(trainer):  # the run goes on with what was found
        now |= {key: before[key] for key in _keys(name) if key in before and key in now}
    changes = recipe_changes(before, now)
    rates_follow = bool(getattr(module, "rates_follow_recipe", False))
    problems = refusals(changes, int(checkpoint["global_step"]), rates_follow)
    if problems:
        raise RecipeChangedError(problems)
    return changes


def _keys(name: str) -> tuple[str, str]:
    return f"model.{name}", f"data.{name}"


def _arguments(part: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if not str(name).startswith("_"):  # what Lightning's command line notes for itself
            yield f"{part}.{name}", _plain(value)


def _defaults(part: str, made: type) -> dict[str, Any]:
    """Give what arguments mean that an older sdtune did not know: what they do by default."""
    known = signature(made).parameters.values()
    told = {each.name: each.default for each in known if each.default is not each.empty}
    return dict(_arguments(part, told))


def _mapping(value: Any) -> Mapping[str, Any]:
    """Take what a stranger's file may hold anything in the place of."""
    return value if isinstance(value, Mapping) else {}


def _plain(value: Any) -> Any:
    """Keep what a checkpoint can hold without pickle."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _content(data: Any) -> Iterator[tuple[str, Any]]:
    """Digest the pictures and captions that are trained on, if they are read and known."""
    if getattr(data, "trainer", None) is None:
        return  # nothing has started yet, and reading would
    pictures = getattr(getattr(data, "train_dataset", None), "pictures", [])
    if pictures and all(getattr(each, "sha256", "") for each in pictures):
        parts = ((each.sha256, each.caption, each.repeats) for each in pictures)
        digest = hashlib.sha256(repr([*parts]).encode()).hexdigest()
        yield "data.pictures", digest[:12]


def _class(thing: object) -> str:
    return type(thing).__name__


def _is_public(callback: object) -> bool:
    return not _class(callback).startswith("_")
