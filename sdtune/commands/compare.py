"""`sdtune compare`: several recipes or settings on one budget and one evaluation, in one table."""

import shlex
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from sdtune.commands.call import read_call

__all__ = ["CompareCall", "main"]

_PASSED_ON = ("model", "data", "trainer", "seed")


@dataclass(frozen=True)
class CompareCall:
    """Train by several recipes on one budget, score them in the same way, and write one table.

    Each run is a process of `sdtune fit`. A finished run is not repeated, one that was stopped goes
    on. A comparison's file gives several settings of a recipe, one evaluation for all, tables and
    figures.

      sdtune compare recipes/textual_inversion.yaml recipes/pivotal_tuning.yaml --budget_steps 400
      sdtune compare recipes/paper/style.yaml --publish results/

    --model.KEY, --data.KEY, --trainer.KEY and --seed are those of `sdtune fit`, for all runs.

    Args:
        recipes: Recipes, or one comparison's file.
        budget_steps: Optimizer steps of each run.
        budget_minutes: Minutes that each run may train; a recipe's own max_steps may end it
            earlier.
        output: Folder of runs and results; by default runs/compare, or runs/<the file's name>.
        workers: `ray:N` for N runs at a time over the machines of a Ray cluster; `1` for in turn.
        publish: Folder that gets README.md, figures and comparison.json too.
    """

    recipes: list[str]
    _: KW_ONLY
    budget_steps: int | None = None
    budget_minutes: float | None = None
    output: str | None = None
    workers: str = "1"
    publish: Path | None = None


def main(arguments: Sequence[str]) -> int:
    """Run `sdtune compare`.

    Args:
        arguments: The command line after it.

    Returns:
        The exit code: 0, or 1 if a run failed.

    Raises:
        CallError: If the call, a recipe or the data is wrong; it lists every problem.
        ValueError: If the finished runs were not scored in the same way.
    """
    own, passed_on = _split(arguments)
    call = CompareCall(**read_call(CompareCall, "sdtune compare", own))
    from sdtune.commands.comparing import run_comparison  # only now: it brings torch along

    return run_comparison(call, passed_on, shlex.join(["sdtune", "compare", *arguments]))


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Take the overrides of the recipes out of a command line, as one word each."""
    own: list[str] = []
    passed_on: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, _ = word.partition("=")
        if not word.startswith("--") or name.lstrip("-").split(".")[0] not in _PASSED_ON:
            own.append(word)
        elif equals or not words or words[0].startswith("--"):
            passed_on.append(word)
        else:
            passed_on.append(f"{word}={words.pop(0)}")
    return own, passed_on
