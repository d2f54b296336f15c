"""Recipes that come with sdtune, by their names: `style_lora`, `sd14/dreambooth`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sdtune.files.shipped_folder import RECIPES, shipped_folder

__all__ = ["find_recipe", "name_recipes", "shipped_recipes"]

_FOLDERS = ("", "sd14", "sdxl")
_SUFFIX = ".yaml"


def shipped_recipes() -> Mapping[str, Path]:
    """List the recipes to train by that come with sdtune.

    Returns:
        Name -> file; empty if this installation has none.
    """
    root = shipped_folder(RECIPES)
    if root is None:
        return {}
    files = (path for folder in _FOLDERS for path in sorted((root / folder).glob(f"*{_SUFFIX}")))
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in files}


def find_recipe(name: str) -> str:
    """Find a recipe by what a call says.

    Args:
        name: A file, or the name of a recipe that comes with sdtune. A file goes first.

    Returns:
        The file; or what was given, if it is neither.
    """
    if os.path.isfile(name):  # a recipe may be given as a text that is no possible name
        return name
    shipped = shipped_recipes().get(name)
    return name if shipped is None else str(shipped)


def name_recipes(words: Sequence[str]) -> list[str]:
    """Put files in the place of the names that `--config` gives.

    Args:
        words: The command line of `sdtune fit`.
    """
    found = list(words)
    for number, word in enumerate(found):
        option, equals, value = word.partition("=")
        if option in ("--config", "-c") and equals:
            found[number] = f"{option}={find_recipe(value)}"
        elif option in ("--config", "-c") and number + 1 < len(found):
            found[number + 1] = find_recipe(found[number + 1])
    return found
