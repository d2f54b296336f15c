"""A grid of settings: every value of each key with every value of the others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sdtune._checks import ArgumentsError
from sdtune.comparison.given_keys import plain_key
from sdtune.comparison.output_names import distinct_names
from sdtune.comparison.settings import Variant

__all__ = ["read_sweep", "sweep_runs"]

_SECTIONS = ("model", "data", "trainer", "seed")
_OWN = ("trainer.callbacks", "trainer.default_root_dir", "trainer.logger")
_FORM = "such as `model.rank=4,16;model.learning_rate=1e-4,5e-4`"
_MOST = 1_000  # runs, each of which is checked before the first starts


def read_sweep(text: str) -> dict[str, list[str]]:
    """Read a grid as it is typed.

    Args:
        text: Keys with their values, such as `model.rank=4,16;model.learning_rate=1e-4,5e-4`. A
            comma in brackets, braces or quotes is of its value.

    Returns:
        Key -> values, as on the command line.

    Raises:
        ArgumentsError: With all that is wrong.
    """
    problems, grid = [], dict[str, list[str]]()
    for part in filter(str.strip, _split(text, ";")):
        key, equals, listed = (each.strip() for each in part.partition("="))
        values = [each.strip() for each in _split(listed, ",")]
        if not equals or not key or not all(values):
            problems.append(f"Expected `--sweep` to be {_FORM}, but got `{part.strip()}`.")
        elif key.split(".")[0] not in _SECTIONS or plain_key(key) in _OWN:
            problems.append(
                "Expected `--sweep` to name keys of the model, the data or the trainer, or `seed`, "
                f"but got `{key}`."
            )
        elif plain_key(key) in map(plain_key, grid):
            problems.append(f"Expected `--sweep` to name each key once, but got `{key}` again.")
        elif len(set(map(_meaning, values))) < len(values):
            problems.append(f"Expected different values of `{key}` in `--sweep`, but got {listed}.")
        else:
            grid[key] = values
    if not grid and not problems:
        problems.append(f"Expected `--sweep` to be {_FORM}, but got `{text}`.")
    count = math.prod(map(len, grid.values()))
    if count > _MOST and not problems:
        problems.append(
            f"Expected `--sweep` to make at most {_MOST:,} runs, but got {count:,}: give fewer "
            "values."
        )
    if problems:
        raise ArgumentsError(problems)
    return grid


def sweep_runs(recipes: Sequence[str], grid: Mapping[str, Sequence[str]]) -> dict[str, Variant]:
    """Name a run for each point of a grid.

    A name is made of the recipe's and the values, and not of the place in the grid: in a larger
    grid, the runs of a smaller one are known again.

    Args:
        recipes: Paths of recipes of different names, each of which is run at all points.
        grid: Key -> values.

    Returns:
        Name -> run, the last key's values changing fastest.
    """
    ends = [key.rpartition(".")[2] for key in grid]
    shown = ends if len(set(ends)) == len(ends) else list(grid)
    runs = {}  # by the words that tell them
    for recipe, values in itertools.product(recipes, itertools.product(*grid.values())):
        words = [f"{key} {value}" for key, value in zip(shown, values, strict=True)]
        stem = [Path(recipe).stem] if len(recipes) > 1 else []
        overrides = dict(zip(grid, values, strict=True))
        label = ", ".join([*stem, *words])
        runs["_".join([Path(recipe).stem, *words])] = Variant(recipe, label, overrides=overrides)
    return dict(zip(distinct_names(list(runs)), runs.values(), strict=True))


def _meaning(value: str) -> object:
    """Give what is the same for two spellings of a number, `1e-3` and `0.001`."""
    try:
        return float(value)
    except ValueError:
        return value.lower() if value.lower() in ("true", "false", "null") else value


def _split(text: str, separator: str) -> Iterator[str]:
    """Split a text, but not in brackets, braces or quotes."""
    begin, depth, quote = 0, 0, ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "[{(":
            depth += 1
        elif sign in ")}]":
            depth -= 1
        elif sign == separator and depth <= 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]
