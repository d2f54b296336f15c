"""Runs that were gone on with by hand, and are no longer what a comparison planned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdtune._checks import shortened
from sdtune.comparison.given_keys import last_given
from sdtune.comparison.planning import PlannedRun, evaluation_terms
from sdtune.files.json_file import JsonFileError
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.record import Evaluation
from sdtune.run_folder.resumes import RESUMES, read_resumes
from sdtune.run_folder.run_recipe import read_recipe_file

__all__ = ["departure"]

_AS_PLANNED = (
    *("data.cache_latents", "model.base", "model.cuda_graphs", "model.compile"),
    *("model.gradient_checkpointing", "model.roll_backs", "trainer.callbacks"),
    "trainer.devices",  # of this machine, where the recipe leaves them open
)
"""Keys whose change leaves steps and budget as they were planned."""


def departure(plan: PlannedRun) -> str | None:
    """Say that a run's folder holds another run than the one that was planned.

    Args:
        plan: The run.

    Returns:
        A sentence; None if it is the planned run, whole or in part, or is not there.
    """
    if not plan.folder.is_dir():
        return None
    try:
        found = list(_departures(plan))
    except JsonFileError:
        found = [f"its {RESUMES} is damaged"]
    if not found:
        return None
    return (
        f"Expected the run `{plan.name}` in {plan.folder} to be what is compared here, but it was "
        f"gone on with otherwise: {', '.join(found)}; move that folder away, so that the run is "
        "made anew, or name another `--output`."
    )


def _departures(plan: PlannedRun) -> Iterator[str]:
    for resume in read_resumes(plan.folder):
        for change in resume.changes:
            if change.key not in _AS_PLANNED:
                yield f"from step {resume.step} on {change}"
    # of callbacks, and what the Trainer makes one of, a resume notes the names alone
    first, *others = RunFolder(plan.folder).configs
    expected = _terms(first)
    for each in others:
        given = _terms(each)
        for key in sorted(given.keys() & expected.keys()):
            if given[key] != expected[key]:
                values = f"{shortened(expected[key])} → {shortened(given[key])}"
                yield f"by its {each.name} {key} {values}"
    planned, taken = _planned_steps(plan), _steps_taken(plan)
    if planned is not None and taken > planned:
        yield f"it took {taken} steps of {planned}"


def _terms(config: Path) -> dict[str, Any]:
    """Read when a start was to end, and how it was scored; empty if that cannot be read."""
    try:
        recipe = read_recipe_file(config)
        trainer = recipe["trainer"]
        evaluation = evaluation_terms(trainer["callbacks"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    words = {f"{name} of its evaluation": value for name, value in evaluation.items()}
    return {"trainer.max_time": trainer.get("max_time"), **words}


def _planned_steps(plan: PlannedRun) -> int | None:
    """Find the steps that the budget or an override gives; None if the recipe alone says them."""
    found = last_given(plan.words, "trainer.max_steps")
    return int(found) if found is not None and found.isdecimal() else None


def _steps_taken(plan: PlannedRun) -> int:
    try:
        record = Evaluation.load(RunFolder(plan.folder).record)
    except (FileNotFoundError, JsonFileError):  # then it is not taken for finished
        return 0
    return max((each.step for each in record.checkpoints), default=0)
