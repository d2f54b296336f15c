"""A call as plain data: its options in their order, and what its YAML files hold."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sdtune.commands.errors import CallError, nearest
from sdtune.commands.shipped_recipes import find_recipe, shipped_recipes
from sdtune.files.regular_file import special_kind
from sdtune.files.text_file import parse_yaml_text, read_text
from sdtune.run_folder.run_recipe import LARGEST_RECIPE

__all__ = [
    "CALL_KEYS",
    "CLASS_KEYS",
    "options",
    "part_options",
    "read_recipe",
    "read_yaml",
    "recipe_file",
]

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


def part_options(
    arguments: Sequence[str], is_recipes: Callable[[str], bool]
) -> tuple[list[str], list[str]]:
    """Part the options of a recipe from a command's own words.

    Args:
        arguments: The command line after the command.
        is_recipes: Tells by an option's name, without dashes, whether it is a recipe's.

    Returns:
        The command's own words, and the recipe's options, each one word with its value.
    """
    own: list[str] = []
    recipes: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        if not word.startswith("--") or not is_recipes(name.lstrip("-")):
            own.append(word)
        elif equals or not words or words[0].startswith("--"):
            recipes.append(word)
        else:
            recipes.append(f"{word}={words.pop(0)}")
    return own, recipes


def recipe_file(path: str | Path) -> Path:
    """Find a recipe's or a comparison's file.

    Args:
        path: The file, or the name of a recipe that comes with sdtune.

    Returns:
        The file.

    Raises:
        CallError: If there is no such file.
    """
    path = Path(find_recipe(str(path)))
    if kind := special_kind(path):
        raise CallError([f"Expected a recipe file, but `{path}` is {kind}, which is not opened."])
    if not path.is_file():
        raise CallError(
            [f"Expected a recipe file, but got `{path}`, which does not exist{_near(path)}"]
        )
    return path


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a recipe's or a comparison's file.

    Args:
        path: See `recipe_file`.

    Returns:
        What it holds.

    Raises:
        CallError: If it cannot be read or is not a mapping.
    """
    return read_recipe(path)[1]


def read_recipe(path: str | Path) -> tuple[str, dict[str, Any]]:
    """Read a recipe's file once, for what shall be as it is now.

    Args:
        path: See `recipe_file`.

    Returns:
        Its text, and what it holds.

    Raises:
        CallError: If it cannot be read or is not a mapping.
    """
    path = recipe_file(path)
    try:
        text = read_text(path, largest=LARGEST_RECIPE)
        content = parse_yaml_text(text)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CallError([f"Expected `{path}` to be a YAML file, but {reason}."]) from error
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise CallError([f"Expected `{path}` to be a mapping with the keys trainer, model, data."])
    return text, content


def _near(path: Path) -> str:
    """Word what was probably meant, as the end of a sentence."""
    names = shipped_recipes()
    meant = "/".join(path.with_suffix("").parts[-2:]), path.stem
    same = next((name for name in meant if name in names), None)
    if same is not None:
        return f"; `{same}`, without folder and suffix, is the one that comes with sdtune."
    return nearest(path.name, [file.name for file in path.parent.glob("*.yaml")] or names)
