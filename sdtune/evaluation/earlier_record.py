"""What a folder's record says of earlier evaluations, and whether it can be added to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from sdtune.evaluation.best import BestRule
from sdtune.files.text_file import parse_yaml_text, read_text
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.record import (
    Choice,
    Evaluation,
    EvaluationSettings,
    TrainingPictures,
)
from sdtune.run_folder.run_process import training_process

__all__ = ["check_base_of", "check_idle", "check_same", "earlier_record"]

_CALLBACK = "EvaluationCallback"


def earlier_record(folder: Path) -> Evaluation | None:
    """Read a folder's record; what an older one does not say is looked up in the run's recipe.

    Args:
        folder: A run folder, or where other evaluations were written.

    Returns:
        The record; None if there is none.

    Raises:
        ValueError: If it cannot be read.
    """
    if not RunFolder(folder).record.is_file():
        return None
    record = Evaluation.load(folder)
    if record.choice is not None:
        return record
    given = _arguments(RunFolder(folder).latest_config)
    protocol, style_pictures = record.protocol, given.get("style_pictures")
    if protocol.style_pictures is None and isinstance(style_pictures, int):
        count = style_pictures if given.get("goal") != "subject" else 0
        protocol = replace(protocol, style_pictures=count)
    goal = given.get("goal")
    if not isinstance(goal, str):
        return replace(record, protocol=protocol)
    limits = ("max_clip_score_drop", "max_memorised_share")
    told = {each: given[each] for each in limits if isinstance(given.get(each), int | float)}
    choice = Choice(**asdict(BestRule(goal, **told)))
    return replace(record, protocol=protocol, choice=choice)


def check_idle(folder: Path) -> None:
    """Make sure that no process trains in a folder, which would write its record as well.

    Args:
        folder: The folder.

    Raises:
        ValueError: If one does.
    """
    process = training_process(folder)
    if process is not None:
        where = "" if process.is_here else f" on {process.host}"
        raise ValueError(
            f"Expected no process to train in {folder}, whose record is to be written, but "
            f"process {process.pid}{where} does: wait until it ends, or give another `output`."
        )


def check_same(
    past: Evaluation, record: Path, protocol: EvaluationSettings, pictures: TrainingPictures
) -> None:
    """Make sure that a record can be added to.

    Args:
        past: The record.
        record: Where it is.
        protocol: What shall be drawn, and who judges.
        pictures: What the samples shall be compared with.

    Raises:
        ValueError: If its scores cannot be compared with others.
    """
    if not past.protocol.agrees_with(protocol):
        before, now = asdict(past.protocol), asdict(protocol)
        names = ", ".join(f"`{name}`" for name in now if now[name] != before[name])
        raise ValueError(
            f"Expected {record} to be of the same prompts, seeds, sampler, size and judges, for "
            f"only then can it be added to, but it is not, see {names}: give another `output`."
        )
    if not past.training_pictures.agrees_with(pictures):
        hint = ""
        if past.training_pictures.held_out is None:
            hint = " (which ones an older version held out of training is not recorded)"
        raise ValueError(
            f"Expected {record} to be of the training pictures that are in {pictures.folder}, for "
            f"only then can it be added to, but it is of others{hint}: give another `output`."
        )


def check_base_of(past: Evaluation, record: Path, fingerprint: str) -> None:
    """Make sure that a record's scores are of adapters of one base.

    Args:
        past: The record.
        record: Where it is.
        fingerprint: Of the base that shall be drawn with.

    Raises:
        ValueError: If it is of another one.
    """
    if past.base.fingerprint != fingerprint:
        raise ValueError(
            f"Expected {record} to be of the same base, for only then can it be added to, but it "
            f"is of {past.base.source} with other weights: give another `output`."
        )


def _arguments(config: Path) -> Mapping[str, Any]:
    """Find what a recipe gives its EvaluationCallback; empty if it has none."""
    try:
        recipe = parse_yaml_text(read_text(config))
    except (OSError, ValueError):
        return {}
    trainer = recipe.get("trainer") if isinstance(recipe, dict) else None
    callbacks = trainer.get("callbacks") if isinstance(trainer, dict) else None
    for each in callbacks if isinstance(callbacks, list) else []:
        if isinstance(each, dict) and str(each.get("class_path")).endswith(_CALLBACK):
            given = each.get("init_args")
            return given if isinstance(given, dict) else {}
    return {}
