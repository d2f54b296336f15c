"""A comparison's YAML file, read into its settings, with everything that is wrong with it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from sdtune._checks import ArgumentsError
from sdtune.commands.errors import CallError, nearest
from sdtune.commands.recipe import read_yaml
from sdtune.comparison.settings import Comparison, FigureSettings, TableSettings, Variant
from sdtune.files.json_file import key_name, problem_sentence

__all__ = ["is_comparison", "read_comparison"]

_LISTED: dict[int | str, type] = {
    "runs": Variant,
    "tables": TableSettings,
    "figures": FigureSettings,
}
"""Key of a comparison -> what it holds several of."""


def is_comparison(path: str | Path) -> bool:
    """Tell a comparison from a recipe to train by.

    Args:
        path: A YAML file.

    Returns:
        Whether it describes runs.

    Raises:
        CallError: If it cannot be read.
    """
    return "runs" in read_yaml(path)


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
    content = read_yaml(path)
    values = {"output": f"runs/{path.stem}", **content, **instead}
    try:
        return TypeAdapter(Comparison).validate_python(values)
    except ValidationError as error:
        problems = [each for found in error.errors() for each in _sentences(found)]
        raise CallError([f"{path}: {problem}" for problem in problems]) from error


def _sentences(problem: ErrorDetails) -> list[str]:
    location = problem["loc"]
    if problem["type"] == "unexpected_keyword_argument":
        owner = _LISTED.get(location[0], Comparison) if len(location) > 1 else Comparison
        known = [key_name((*location[:-1], each.name)) for each in fields(owner)]
        name = key_name(location)
        return [f"Expected a known key, but got `{name}`{nearest(name, known)}"]
    refusal = problem.get("ctx", {}).get("error")  # what does not fit together
    if isinstance(refusal, ArgumentsError):
        return refusal.problems
    return [problem_sentence(problem)]
