"""What the parser refuses in a recipe, in sentences that say what would have been accepted."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from importlib import import_module
from itertools import groupby
from typing import Any, get_args, get_origin

import lightning.pytorch.callbacks
import lightning.pytorch.loggers
from jsonargparse import Namespace
from lightning.pytorch import LightningDataModule, LightningModule, Trainer

import sdtune
from sdtune.commands.annotations import Seed, annotation_of, annotation_words
from sdtune.commands.diagnosis import Setting, as_mapping, is_class_key, read_settings, refusals
from sdtune.commands.errors import nearest, on_one_line
from sdtune.commands.recipe import CLASS_KEYS
from sdtune.commands.recipe_classes import argument_names, import_chosen, is_chosen, type_name
from sdtune.commands.recipe_parser import RecipeParser, lenient
from sdtune.commands.trust import is_trusted, untrusted

__all__ = ["ROOT_TYPES", "Diagnosis", "class_missing", "diagnose", "unchosen"]

ROOT_TYPES: dict[str, Any] = {"seed": Seed, "resume": str | None, "run": str | None}
"""The keys of a recipe that are no argument of a class."""

_BASES: dict[str, type] = {"model": LightningModule, "data": LightningDataModule}
_DENIED = re.compile(r"Importing '([\w.]+)' is not allowed")
_NO_CLASS = re.compile(r"given class_path|Import path|valid subclass|not accessible")


@dataclass
class Diagnosis:
    """What a call comes to without what is wrong with it.

    Attributes:
        problems: One sentence each.
        config: The recipe of all that is accepted.
        broken: The keys `model`, `data` and `trainer` that cannot be built.
        refused: The keys whose values are not accepted.
    """

    problems: list[str] = field(default_factory=list)
    config: Namespace = field(default_factory=Namespace)
    broken: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Place:
    """Whose argument a key is: the class, if any, the key as one types it, and its last part."""

    owner: type | None
    key: str
    name: str


def diagnose(parser: RecipeParser, arguments: Sequence[str]) -> Diagnosis:
    """List everything that a parser refuses in a call.

    Args:
        parser: The parser, which raises and does not exit.
        arguments: The command line, with the files that it names.

    Returns:
        The problems, and what is left.
    """
    found = Diagnosis()
    settings = read_settings(arguments, found.problems)
    if found.problems:
        found.broken.update(CLASS_KEYS)  # what a file that cannot be read says is not missing

    def parse(accepted: Sequence[Setting]) -> Namespace:
        config = Namespace()
        for file, group in groupby(accepted, key=lambda each: each.file):
            if file is None:
                words = [each.word for each in group]
                config = parser.parse_args(words, namespace=config, defaults=False)
            else:
                config = parser.parse_object(as_mapping([*group]), config, defaults=False)
        return config

    with lenient():
        for wrong, before, error in refusals(settings, parse):
            place = _place(wrong, before)
            problem, breaks = _problem(parser, place, wrong, before, error)
            found.problems.append(problem)
            found.refused.add(place.key)
            if breaks:
                found.broken.add(str(wrong.key[0]))
    with lenient() as missing:
        found.config = parser.parse_object({}, parse(settings))
    for owner, name in dict.fromkeys(missing):
        for key in _keys_of(owner, name, found.config) if owner else []:
            found.broken.add(key.split(".")[0])
            if key not in found.refused:
                found.problems.append(f"Expected `{key}` to be given, but it is missing.")
    return found


def unchosen(config: Namespace) -> list[str]:
    """List the keys that have to name a class, and do not. The parser lets an empty mapping pass.

    Args:
        config: A recipe.

    Returns:
        None, one or both of `model` and `data`.
    """
    return [
        key
        for key in CLASS_KEYS
        if not is_chosen(config.get(key)) or import_chosen(config[key]) is _BASES[key]
    ]


def class_missing(key: str) -> str:
    """Say that a key has to name a class.

    Args:
        key: `model` or `data`.

    Returns:
        A sentence.
    """
    return f"Expected `{key}` to name a class: give `{key}.class_path` and its `init_args`."


def _problem(
    parser: RecipeParser, place: _Place, wrong: Setting, before: Namespace, error: str
) -> tuple[str, bool]:
    """Word what is wrong with a setting, and tell whether its class cannot be built without."""
    of = f" of {place.owner.__name__}" if place.owner not in (None, Trainer) else ""
    known = _known(parser, place, before)
    if place.key not in known:
        near = _of_each(place) or nearest(place.key, known)
        return f"Expected a known key{of}, but got `{place.key}`{near}", False
    if wrong.file is None and wrong.value is None:
        return f"Expected `{wrong.word}` to be given a value, but it has none.", True
    if wrong.file is not None and of and "init_args" not in wrong.key:
        above = place.key.rpartition(".")[0]
        inside = f"Expected `{place.name}` to stand below `{above}.init_args`"
        return f"{inside}, but got `{place.key}`.", False
    if denied := _DENIED.search(error):
        return untrusted(place.key, denied[1]), True
    annotation = ROOT_TYPES.get(place.key)
    if place.owner is not None:
        annotation = annotation_of(place.owner, place.name)
    if is_class_key(wrong.key) or (
        isinstance(wrong.value, str) and _NO_CLASS.search(error) and _is_class(annotation)
    ):
        return _class_problem(place.key, wrong.value, error), True
    if annotation is None:
        return f"Expected another `{place.key}` than {wrong.value!r}: {on_one_line(error)}", True
    choices = [str(choice) for choice in get_args(annotation) if isinstance(choice, str)]
    near = nearest(wrong.value, choices) if isinstance(wrong.value, str) else "."
    words = annotation_words(annotation)
    return f"Expected `{place.key}` to be {words}, but got {wrong.value!r}{near}", True


def _is_class(annotation: Any) -> bool:
    """Tell whether an argument can be an instance of a class of some library."""
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__module__ not in ("builtins", "pathlib", "datetime")
    return any(_is_class(each) for each in get_args(annotation))


def _place(wrong: Setting, before: Namespace) -> _Place:
    """Find out whose argument a setting is, among the classes that are chosen before it."""
    value: Any = before
    owner: type | None = None
    shown: list[str] = []
    for part in wrong.key:
        if isinstance(part, int):
            value = None  # items are numbered in files alone, whose settings know their class
            continue
        part = part.removesuffix("+")
        if part in ("class_path", "init_args", "dict_kwargs"):
            continue
        if isinstance(value, list):  # the command line reaches into the last item
            value = value[-1] if value else None
            shown += [type_name(value.class_path)] if is_chosen(value) else []
        owner = Trainer if shown == ["trainer"] else import_chosen(value)
        value = value.get("init_args") if is_chosen(value) else value
        value = value.get(part) if isinstance(value, Namespace) else None
        shown.append(part)
    if wrong.key[-1] == "class_path":
        owner = None
    elif wrong.owner is not None:
        owner = import_chosen(Namespace(class_path=wrong.owner))
        if any(isinstance(part, int) for part in wrong.key):
            shown.insert(-1, type_name(wrong.owner))
    return _Place(owner, ".".join(shown), shown[-1])


def _known(parser: RecipeParser, place: _Place, before: Namespace) -> list[str]:
    """List the keys that would be known in some place."""
    roots = [str(key) for key in parser.get_defaults().keys()]  # noqa: SIM118
    if place.owner is Trainer:
        return [key for key in roots if key.startswith("trainer.")]
    if place.owner is not None:
        above = place.key.rpartition(".")[0]
        return [f"{above}.{name}" for name in argument_names(place.owner)]
    below = [
        f"{key}.{name}"
        for key in CLASS_KEYS
        if (chosen := import_chosen(before.get(key))) is not None
        for name in argument_names(chosen)
    ]
    return [*roots, *below, *CLASS_KEYS, "trainer"]


def _of_each(place: _Place) -> str:
    """Say that a key is one of each of several things that a class takes, as the end of a sentence.

    Such as `class_noun`, which each of `data.concepts` has.
    """
    owner = place.owner
    if owner is None or owner is Trainer:
        return ""
    for name in argument_names(owner):
        annotation = annotation_of(owner, name)
        of = get_args(annotation)[0] if get_origin(annotation) is list else None
        if is_dataclass(of) and place.name in {each.name for each in fields(of)}:
            key = f"{place.key.rpartition('.')[0]}.{name}"
            return f": each of the list `{key}` has a `{place.name}` of its own."
    return ""


def _class_problem(key: str, path: Any, error: str) -> str:
    """Say why a class cannot be taken."""
    if not isinstance(path, str):
        return class_missing(key)
    if not is_trusted(path):
        return untrusted(key, path)
    module, _, name = path.rpartition(".")
    known = [f"sdtune.{public}" for public in sdtune.__all__]
    if not module:
        known += [*lightning.pytorch.callbacks.__all__, *lightning.pytorch.loggers.__all__]
    try:
        found = getattr(import_module(module or "sdtune"), name)
    except (ImportError, AttributeError) as reason:
        ends = {each.rpartition(".")[2].lower(): each for each in known}
        close = get_close_matches(name.lower(), ends, n=1)
        near = f"; did you mean `{ends[close[0]]}`?" if close else "."
        return f"Expected `{key}` to name a class, but got `{path}` ({reason}){near}"
    if not isinstance(found, type):
        return f"Expected `{key}` to name a class, but `{path}` is none."
    if key in _BASES:
        return f"Expected `{key}` to be a {_BASES[key].__name__}, but got `{path}`."
    return f"Expected another class for `{key}` than `{path}`: {on_one_line(error)}"


def _keys_of(owner: type, name: str, config: Namespace) -> Iterator[str]:
    """Find where in a recipe a class is to be built, and name an argument of it."""

    def visit(key: str, value: Any) -> Iterator[str]:
        if is_chosen(value):
            if import_chosen(value) is owner:
                yield f"{key}.{name}"
            value = value.get("init_args")
        if isinstance(value, Namespace):
            for inner, each in value.items(branches=True, nested=False):
                yield from visit(f"{key}.{inner}".lstrip("."), each)
        elif isinstance(value, list):
            for each in filter(is_chosen, value):
                yield from visit(f"{key}.{type_name(each.class_path)}", each)

    yield from visit("", config)
