"""A recipe with the files that it takes parts from in their place, so that it stands for itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Path as TypedPath  # type: ignore[attr-defined]

from sdtune.run_folder.run_recipe import read_recipe_file

__all__ = ["whole_recipe", "whole_words", "with_whole_paths"]

_PARTS = ("model", "data", "trainer")
_NAMED = (*_PARTS, "trainer.callbacks")
"""Keys for which any file is a part; for others, only one that chooses classes."""


def whole_recipe(recipe: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Put files of parts, as `model: lora.yaml` names one, in the places where they are named.

    Args:
        recipe: The content of a recipe.
        folder: The folder of its file, from which parts are named.

    Returns:
        The recipe; the same content where it names no part.

    Raises:
        ValueError: If a part is no YAML; one sentence names it.
    """
    return {
        key: _whole(key, value, folder) if key in _PARTS else value for key, value in recipe.items()
    }


def whole_words(words: Sequence[str]) -> list[str]:
    """Do the same to overrides on a command line, such as `--model=lora.yaml`.

    Args:
        words: Each an option with its value.

    Returns:
        The words, a part's content in the place of its file.

    Raises:
        ValueError: As `whole_recipe`.
    """
    return list(map(_whole_word, words))


def with_whole_paths(recipe: Any, parsed: Any) -> Any:
    """Put whole paths where a class asks for a path that is read from the recipe's own folder.

    Args:
        recipe: A recipe's content, or a part of it.
        parsed: What the parser made of it.

    Returns:
        The content, right in a file that lies elsewhere.
    """
    if isinstance(parsed, TypedPath):
        return str(parsed.absolute) if isinstance(recipe, str) else recipe
    if isinstance(recipe, dict):
        known = vars(parsed) if hasattr(parsed, "__dict__") else parsed
        known = known if isinstance(known, dict) else {}
        return {key: with_whole_paths(each, known.get(key)) for key, each in recipe.items()}
    if isinstance(recipe, list) and isinstance(parsed, list) and len(recipe) == len(parsed):
        return [with_whole_paths(*pair) for pair in zip(recipe, parsed, strict=True)]
    return recipe


def _whole_word(word: str) -> str:
    option, equals, value = word.partition("=")
    key = option.lstrip("-").rstrip("+")
    if not equals or key.partition(".")[0] not in _PARTS:
        return word
    content = _whole(key, value, Path())
    return word if content == value else f"{option}={json.dumps(content, ensure_ascii=False)}"


def _whole(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return {name: _whole(f"{key}.{name}", each, folder) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(f"{key}.0", each, folder) for each in value]
    path = folder / value if isinstance(value, str) else None
    if path is None or not _is_file(path):
        return value
    try:
        content = read_recipe_file(path)
    except (OSError, ValueError) as error:
        if key not in _NAMED:  # a file that a class reads by itself
            return value
        reason = " ".join(str(error).split())
        raise ValueError(f"Expected `{path}` to be a YAML file, but {reason}.") from error
    several = content if isinstance(content, list) else [content]
    chosen = [each for each in several if isinstance(each, dict) and "class_path" in each]
    if isinstance(content, dict | list) and (key in _NAMED or chosen):
        return _whole(key, content, path.parent)
    return value


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a text too long for a name
        return False
