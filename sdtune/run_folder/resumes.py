"""When a run was resumed, and what its recipe has been from then on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sdtune.files.json_file import read_json, write_json
from sdtune.run_folder.recipe_changes import Change

__all__ = ["RESUMES", "Resume", "changes_of_training", "note_resume", "read_resumes"]

RESUMES = "resumes.json"
"""The file, in the run's folder."""

VERSION = 1

_NO_OTHER_STEPS = (
    *("data.cache_latents", "model.base", "model.cuda_graphs"),
    *("model.gradient_checkpointing", "model.roll_backs"),
    *("trainer.callbacks", "trainer.max_epochs", "trainer.max_steps"),
)
"""Keys whose change leaves all steps as they would have been."""


@dataclass(frozen=True)
class RecordedChange:
    """A key of the recipe that has changed.

    Attributes:
        key: As one types it.
        before: The value before, in words.
        now: The value from then on, in words.
    """

    key: str
    before: str
    now: str

    def __str__(self) -> str:
        return f"{self.key} {self.before} → {self.now}"


@dataclass(frozen=True)
class Resume:
    """A start that went on.

    Attributes:
        step: Optimizer steps that the run had taken.
        changes: What is different from then on.
    """

    step: int
    changes: list[RecordedChange]


@dataclass(frozen=True)
class _File:
    version: int
    resumes: list[Resume]


def read_resumes(folder: Path) -> list[Resume]:
    """Read them.

    Args:
        folder: A run folder.

    Returns:
        In the order of the starts; empty if there is no such file.

    Raises:
        JsonFileError: If the file is damaged.
    """
    try:
        return read_json(_File, folder / RESUMES, VERSION).resumes
    except FileNotFoundError:
        return []


def changes_of_training(folder: Path) -> list[str]:
    """Say what was changed on a run's way that changes its steps.

    Args:
        folder: A run folder.

    Returns:
        A line each; empty if all of it was trained by one recipe.
    """
    return [
        f"from step {resume.step} on {change}"
        for resume in read_resumes(folder)
        for change in resume.changes
        if change.key not in _NO_OTHER_STEPS
    ]


def note_resume(folder: Path, step: int, changes: Sequence[Change]) -> None:
    """Add one, and drop those of a future that it gives up.

    Args:
        folder: The run folder.
        step: Optimizer steps that the run has taken.
        changes: What is different from now on.
    """
    noted = [RecordedChange(each.key, _words(each.before), _words(each.now)) for each in changes]
    past = [each for each in read_resumes(folder) if each.step <= step]
    write_json(folder / RESUMES, asdict(_File(VERSION, [*past, Resume(step, noted)])))


def _words(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
