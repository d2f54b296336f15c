"""What the recipe of a run says of its base, for what is made of the run's adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from sdtune.files.text_file import parse_yaml_text, read_text
from sdtune.run_folder.layout import RunFolder

__all__ = ["LARGEST_RECIPE", "Precision", "model_argument", "precision_of", "read_recipe_file"]

Precision = Literal["float32", "bfloat16", "float16"]
"""What a base computes in."""

LARGEST_RECIPE = 10_000_000
"""Bytes of a recipe, or of a comparison's file."""

_LEVELS = 4  # a file lies in runs/<recipe>/<version>/adapter/<step>/peft at most

# the Trainer's names -> those of floating types
_PRECISIONS: dict[str, Precision] = {
    "bf16-mixed": "bfloat16",
    "bf16": "bfloat16",
    "16-mixed": "float16",
    "16": "float16",
}


def precision_of(adapter: Path) -> Precision:
    """Find the floating type that an adapter's run had its base in; float32 if it is not known.

    Args:
        adapter: A run folder, or what is in one, or anything else.
    """
    recipe = _recipe_of(adapter)
    try:
        name = None if recipe is None else recipe["trainer"]["precision"]
    except (KeyError, TypeError):
        name = None
    return _PRECISIONS.get(str(name), "float32")


def model_argument(adapter: Path, name: str) -> Any:
    """Find what an adapter's run gave its technique; None if it is not known.

    Args:
        adapter: As in `precision_of`.
        name: Of the argument.
    """
    recipe = _recipe_of(adapter)
    try:
        return None if recipe is None else recipe["model"]["init_args"][name]
    except (KeyError, TypeError):
        return None


def read_recipe_file(path: Path) -> Any:
    """Read a recipe, or a part of one, as its file has it.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is too large, or no YAML.
    """
    return parse_yaml_text(read_text(path, largest=LARGEST_RECIPE))


def _recipe_of(adapter: Path) -> Any:
    path = adapter.resolve()
    for folder in [path, *path.parents][: _LEVELS + 1]:
        if RunFolder(folder).config.is_file():
            config = RunFolder(folder).latest_config
            try:
                return read_recipe_file(config)
            except (OSError, ValueError):
                return None
    return None
