"""A call's recipe as plain data: the YAML files and overrides of a command line, merged."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from sdtune.commands.errors import CallError, nearest

__all__ = ["CALL_KEYS", "CLASS_KEYS", "options", "read_recipe", "recipe_paths"]

CALL_KEYS = ("run", "resume")
"""Keys that belong to one call and not to the recipe."""

CLASS_KEYS = ("model", "data")
"""Keys that hold a `class_path` and its `init_args`."""


def options(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """Split a command line into its options, in their order.

    Args:
        arguments: Words such as ["--config", "recipe.yaml", "--model.rank=8"].

    Yields:
        The option's name without dashes, and its value; None for an option without one.

    Raises:
        CallError: If a word is neither an option nor an option's value.
    """
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            raise CallError([f"Expected an option such as `--model.rank 8`, but got `{word}`."])
        name, equals, value = word.lstrip("-").partition("=")
        name = "config" if name == "c" else name
        if equals:
            yield name, value
        else:
            yield name, words.pop(0) if words and not words[0].startswith("--") else None


def recipe_paths(arguments: Sequence[str]) -> list[Path]:
    """Find the recipe files that a command line names.

    Args:
        arguments: Words such as ["--config", "recipe.yaml", "--model.rank=8"].

    Returns:
        The paths given to `--config`, in their order.
    """
    return [Path(value) for name, value in options(arguments) if name == "config" and value]


def read_recipe(arguments: Sequence[str]) -> dict[str, Any]:
    """Merge the recipe files and overrides of a command line, later ones over earlier ones.

    Overrides that reach into a list or into a nested class are left out, because only the real
    parser knows what they mean.

    Args:
        arguments: Words such as ["--config", "recipe.yaml", "--model.rank=8"].

    Returns:
        The nested mapping; `model` and `data` hold `class_path`, `init_args` and, when their class
        was changed, the former one's arguments as `inherited`. Overrides are still strings.

    Raises:
        CallError: If a recipe cannot be read or is not a mapping.
    """
    recipe: dict[str, Any] = {}
    for name, value in options(arguments):
        if name == "config":
            _merge(recipe, _read_yaml(Path(value or "")))
        elif name == "resume":
            recipe[name] = value or "last"
        elif value is not None:
            _merge(recipe, _override(name, value))
    return recipe


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        near = nearest(path.name, [file.name for file in path.parent.glob("*.yaml")])
        raise CallError([f"Expected a recipe file, but got `{path}`, which does not exist{near}"])
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise CallError([f"Expected `{path}` to be a YAML file, but {reason}."]) from error
    if not isinstance(recipe, dict) or not all(isinstance(key, str) for key in recipe):
        raise CallError([f"Expected `{path}` to be a mapping with the keys trainer, model, data."])
    return recipe


def _merge(recipe: dict[str, Any], update: dict[str, Any]) -> None:
    for key, value in update.items():
        known = recipe.get(key.removesuffix("+"))
        if key.endswith("+"):
            added = value if isinstance(value, list) else [value]
            recipe[key.removesuffix("+")] = [*(known or []), *added]
        elif isinstance(value, dict) and isinstance(known, dict):
            if value.get("class_path", known.get("class_path")) != known.get("class_path"):
                # the parser keeps those arguments of the former class that the new one knows
                known["inherited"] = {**known.pop("inherited", {}), **known.pop("init_args", {})}
            _merge(known, value)
        else:
            recipe[key] = value


def _override(name: str, value: str) -> dict[str, Any]:
    root, *below = name.split(".")
    if root in CLASS_KEYS and below in ([], ["class_path"]):
        return {root: {"class_path": value}}
    below = below[1:] if below[:1] == ["init_args"] else below
    if len(below) > 1 or below == ["help"]:
        return {}
    keys = [root, "init_args", *below] if root in CLASS_KEYS else [root, *below]
    is_class = root == "trainer" and name.endswith("+")  # --trainer.callbacks+=sdtune.SampleGrid
    nested: Any = {"class_path": value} if is_class else value
    for key in reversed(keys):
        nested = {key: nested}
    return dict(nested)
