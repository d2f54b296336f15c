"""All that is wrong with a recipe, found at once and before anything starts.

The classes' signatures are the only schema: a key is known if its class has such an argument, and
jsonargparse judges each value by its annotation. Classes are then built, so that what they refuse
themselves (a rank of 0, an unknown base, a broken picture) is listed as well, and the model says
whether it can be trained on the data.
"""

import types
import typing
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from inspect import Parameter, signature
from typing import Any, Literal, Protocol, Union, get_args, get_origin, runtime_checkable

from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

import sdtune
from sdtune.commands.errors import nearest
from sdtune.commands.recipe import CALL_KEYS

__all__ = ["ComparesWithData", "ListsProblems", "list_problems"]

_BASES: dict[str, type] = {"model": LightningModule, "data": LightningDataModule}
_BUILT = (LightningModule, LightningDataModule, Callback)


@runtime_checkable
class ListsProblems(Protocol):
    """What can check itself without training, as a data module checks its folder."""

    def problems(self) -> list[str]:
        """List what is wrong, one sentence each."""
        ...


@runtime_checkable
class ComparesWithData(Protocol):
    """What can tell without training whether it fits some data, as a technique does."""

    def problems_with(self, data: object) -> list[str]:
        """List what is wrong, one sentence each."""
        ...


def list_problems(recipe: Mapping[str, Any], build: bool = True) -> list[str]:
    """List everything that is wrong with a recipe.

    Args:
        recipe: The merged recipe, see `sdtune.commands.recipe.read_recipe`.
        build: Whether to build the model, the data module and the callbacks as well, and to ask
            them for their `problems`.

    Returns:
        One sentence for each problem; empty if there is none.
    """
    problems = _unknown_roots(recipe)
    built: dict[str, Any] | None = {} if build else None
    seed = str(recipe.get("seed", 0))
    if not seed.isdecimal():
        problems.append(f"Expected `seed` to be an integer of 0 or more, but got {seed!r}.")
    trainer = recipe.get("trainer") or {}
    if isinstance(trainer, dict):
        problems += _argument_problems(Trainer, "trainer", trainer, built)
    else:
        problems.append(f"Expected `trainer` to be a mapping, but got {trainer!r}.")
    for key, base in _BASES.items():
        value = recipe.get(key)
        if isinstance(value, str) and value.endswith((".yaml", ".yml")):
            continue  # a file of its own, which the parser reads
        problems += _class_problems(key, value, base, built)
    model, data = ((built or {}).get(key) for key in _BASES)
    if isinstance(model, ComparesWithData) and data is not None:
        problems += model.problems_with(data)
    return problems


def _unknown_roots(recipe: Mapping[str, Any]) -> list[str]:
    roots = ("seed", *CALL_KEYS, "print_config", "trainer", *_BASES)
    unknown = [key for key in recipe if key not in roots]
    if not unknown:
        return []
    known = list(roots)
    for key, names in {"trainer": _names(Trainer), **_names_below(recipe)}.items():
        known += [f"{key}.{name}" for name in names]
    problems = []
    for key in unknown:
        below = list(recipe[key]) if isinstance(recipe[key], dict) else []
        problems += [
            f"Expected a known key, but got `{name}`{nearest(name, known)}"
            for name in [f"{key}.{name}" for name in below] or [key]
        ]
    return problems


def _names_below(recipe: Mapping[str, Any]) -> dict[str, list[str]]:
    """Argument names of the classes that the recipe chose, as far as they can be imported."""
    names = {}
    for key in _BASES:
        class_path = recipe[key].get("class_path") if isinstance(recipe.get(key), dict) else None
        chosen = _import_class(key, class_path) if isinstance(class_path, str) else ""
        names[key] = [] if isinstance(chosen, str) else _names(chosen)
    return names


def _class_problems(
    key: str, value: Any, base: type | None, built: dict[str, Any] | None
) -> list[str]:
    """List the problems of a class; `built` gets its instance, or is None to build nothing."""
    if isinstance(value, str):
        value = {"class_path": value}
    if not isinstance(value, dict) or not isinstance(value.get("class_path"), str):
        return [f"Expected `{key}` to name a class: give `{key}.class_path` and its `init_args`."]
    chosen = _import_class(key, value["class_path"])
    if isinstance(chosen, str):
        return [chosen]
    if base is not None and not issubclass(chosen, base):
        return [f"Expected `{key}` to be a {base.__name__}, but got `{value['class_path']}`."]
    problems = [
        f"Expected `{name}` to stand below `{key}.init_args`, but got `{key}.{name}`."
        for name in value
        if name not in ("class_path", "init_args", "dict_kwargs", "inherited")
    ]
    known = _names(chosen)
    given = {name: old for name, old in value.get("inherited", {}).items() if name in known}
    given.update(value.get("init_args") or {})
    return problems + _argument_problems(chosen, key, given, built)


def _import_class(key: str, class_path: str) -> type | str:
    """Import a class, or say in one sentence why there is none."""
    module_path, _, name = class_path.rpartition(".")
    try:
        module = import_module(module_path or "sdtune")
        found = getattr(module, name)
    except (ImportError, AttributeError) as error:
        public = [f"sdtune.{public}" for public in sdtune.__all__]
        near = nearest(class_path if module_path else f"sdtune.{class_path}", public)
        return f"Expected `{key}` to name a class, but got `{class_path}` ({error}){near}"
    if not isinstance(found, type):
        return f"Expected `{key}` to name a class, but `{class_path}` is none."
    return found


def _argument_problems(
    cls: type, key: str, given: dict[str, Any], built: dict[str, Any] | None
) -> list[str]:
    names = _names(cls)
    unknown = []
    for name in given:
        if name not in names:
            near = nearest(f"{key}.{name}", [f"{key}.{known}" for known in names])
            of = "" if cls is Trainer else f" of {cls.__name__}"
            unknown.append(f"Expected a known key{of}, but got `{key}.{name}`{near}")
    problems = []
    for name, parameter in signature(cls).parameters.items():
        named = parameter.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        if named and parameter.default is Parameter.empty and name not in given:
            problems.append(f"Expected `{key}.{name}` to be given, but it is missing.")
    values = {name: value for name, value in given.items() if name in names}
    for name, value in values.items():
        problems += _nested_problems(f"{key}.{name}", value, built)
    if not problems and not _accepts(cls, values):
        problems = [
            _value_problem(cls, key, name, value)
            for name, value in values.items()
            if not _accepts(cls, {name: value}, only=name)
        ]
    if not problems and built is not None and issubclass(cls, _BUILT):
        problems = _build_problems(cls, key, values, built)
    return unknown + problems


def _nested_problems(key: str, value: Any, built: dict[str, Any] | None) -> Iterator[str]:
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict) and "class_path" in item:
            name = str(item["class_path"]).rpartition(".")[2]
            item_key = f"{key}.{name}" if isinstance(value, list) else key
            yield from _class_problems(item_key, item, None, built)


def _accepts(cls: type, values: dict[str, Any], only: str | None = None) -> bool:
    try:
        _parser(cls, only).parse_object({"it": values})
    except ArgumentError:
        return False
    return True


def _value_problem(cls: type, key: str, name: str, value: Any) -> str:
    annotation = _annotation(cls, name)
    choices = [str(choice) for choice in get_args(annotation) if isinstance(choice, str)]
    near = nearest(value, choices) if isinstance(value, str) else "."
    return f"Expected `{key}.{name}` to be {annotation_words(annotation)}, but got {value!r}{near}"


def _build_problems(
    cls: type, key: str, values: dict[str, Any], built: dict[str, Any]
) -> list[str]:
    try:
        parser = _parser(cls)
        instance = parser.instantiate(parser.parse_object({"it": values}))["it"]
        built[key] = instance
        return instance.problems() if isinstance(instance, ListsProblems) else []
    except (ArgumentError, ImportError, MisconfigurationException, OSError, ValueError) as error:
        return list(getattr(error, "problems", [" ".join(str(error).split())]))


def _parser(cls: type, only: str | None = None) -> ArgumentParser:
    skip = {name for name in _names(cls) if name != only} if only else set()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(cls, "it", fail_untyped=False, sub_configs=True, skip=skip)
    return parser


@cache
def _names(cls: type) -> list[str]:
    parser = ArgumentParser(exit_on_error=False)
    added = parser.add_class_arguments(cls, "it", fail_untyped=False, sub_configs=True)
    return [name.removeprefix("it.") for name in added]


def _annotation(cls: type, name: str) -> Any:
    for each in cls.__mro__:  # a parent's, if the class hands the argument on
        try:
            hints = typing.get_type_hints(vars(each)["__init__"])
        except (KeyError, NameError):  # a name may be imported for type checking alone
            continue
        if name in hints:
            return hints[name]
    return None


def annotation_words(annotation: Any) -> str:
    """Word an annotation, such as "one of 'adamw', 'sgd' or null".

    Args:
        annotation: A type as `typing.get_type_hints` gives it; None if there is none.

    Returns:
        What stands after "Expected `key` to be".
    """
    if annotation is None:
        return "what its annotation says"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(annotation_words(argument) for argument in arguments)
    if annotation is types.NoneType:
        return "null"
    if isinstance(annotation, type) and not arguments:
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("collections.abc.", "")
