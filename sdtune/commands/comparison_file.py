"""A comparison's YAML file, read into its settings, with everything that is wrong with it."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from jsonargparse import ArgumentParser

from sdtune._checks import ArgumentsError
from sdtune.commands.errors import CallError, nearest
from sdtune.commands.problems import annotation_words
from sdtune.commands.recipe import read_recipe
from sdtune.comparison.settings import Comparison

__all__ = ["is_comparison", "read_comparison"]


def is_comparison(path: str | Path) -> bool:
    """Tell a comparison from a recipe to train by.

    Args:
        path: A YAML file.

    Returns:
        Whether it describes runs.

    Raises:
        CallError: If it cannot be read.
    """
    return "runs" in read_recipe(["--config", str(path)])


def read_comparison(path: str | Path, **instead: Any) -> Comparison:
    """Read a comparison.

    Args:
        path: Its YAML file.
        **instead: Values for keys, in the place of the file's.

    Returns:
        The comparison; its folder is `runs/` and the file's name, unless it names another.

    Raises:
        CallError: With every unknown key and every value of another type; or, if there is none,
            with all that does not fit together.
    """
    path = Path(path)
    content = read_recipe(["--config", str(path)])
    problems: list[str] = []
    values = {"output": f"runs/{path.stem}", **content, **instead}
    settings = _decode(Comparison, values, "", problems)
    if problems:
        raise CallError([f"{path}: {problem}" for problem in problems])
    try:
        return Comparison(**settings)
    except ArgumentsError as error:
        raise CallError([f"{path}: {problem}" for problem in error.problems]) from error


def _decode(kind: type, content: Any, key: str, problems: list[str]) -> dict[str, Any]:
    """Find the arguments of a dataclass in a mapping."""
    if not isinstance(content, Mapping):
        problems.append(f"Expected `{key}` to be a mapping, but got {content!r}.")
        return {}
    hints = get_type_hints(kind)
    dot = f"{key}." if key else ""
    for name in content:
        if name not in hints:
            near = nearest(f"{dot}{name}", [f"{dot}{known}" for known in hints])
            problems.append(f"Expected a known key, but got `{dot}{name}`{near}")
    for each in fields(kind):
        optional = each.default is not MISSING or each.default_factory is not MISSING
        if each.name not in content and not optional:
            problems.append(f"Expected `{dot}{each.name}` to be given, but it is missing.")
    return {
        name: _value(hints[name], value, f"{dot}{name}", problems)
        for name, value in content.items()
        if name in hints
    }


def _value(hint: Any, value: Any, key: str, problems: list[str]) -> Any:
    """Check a value by its annotation; one that holds dataclasses is built from mappings."""
    inner: Any = next((each for each in get_args(hint) if is_dataclass(each)), None)
    if inner is None:
        return _leaf(hint, value, key, problems)
    count = len(problems)
    pairs: Any
    if get_origin(hint) is dict and isinstance(value, dict):
        pairs = value.items()
    elif get_origin(hint) is list and isinstance(value, list):
        pairs = enumerate(value)
    else:
        kind = "mapping" if get_origin(hint) is dict else "list"
        problems.append(f"Expected `{key}` to be a {kind}, but got {value!r}.")
        return value
    decoded = {name: _decode(inner, each, f"{key}.{name}", problems) for name, each in pairs}
    if len(problems) > count:
        return value
    built = {name: inner(**each) for name, each in decoded.items()}
    return built if get_origin(hint) is dict else list(built.values())


def _leaf(hint: Any, value: Any, key: str, problems: list[str]) -> Any:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--it", type=hint)
    try:
        return parser.parse_object({"it": value}).it
    except ArgumentError:
        problems.append(f"Expected `{key}` to be {annotation_words(hint)}, but got {value!r}.")
        return value
