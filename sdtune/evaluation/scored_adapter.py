"""Adapters that are scored after training: which ones, what each is called, and where it goes."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sdtune.adapters.adapter_files import (
    adapter_sha256,
    copy_adapter,
    drop_adapter,
    header_of,
    trained_steps,
)
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.registry import written_files
from sdtune.run_folder.layout import BASE_LABEL, RunFolder, by_step, step_label, step_of
from sdtune.run_folder.record import Best, Evaluation

__all__ = [
    "ScoredAdapter",
    "default_output",
    "find_scored",
    "has_own_adapter",
    "label_apart",
    "place_best",
]

log = logging.getLogger(__name__)

_OUTPUT = Path("runs", "evaluate")
_DIGITS = 8


@dataclass(frozen=True)
class ScoredAdapter:
    """An adapter that is scored.

    Attributes:
        label: What it is called in the record.
        path: Its file or folder.
        step: Optimizer steps; 0 if they are not known.
        sha256: Hash over its files.
        header: Strings of its header.
    """

    label: str
    path: Path
    step: int
    sha256: str
    header: Mapping[str, str]


def find_scored(adapter: Path) -> list[ScoredAdapter]:
    """Find the checkpoints of a run, or the one adapter that there is.

    Args:
        adapter: A run folder, or an adapter's file or folder.

    Returns:
        The adapters, in order of steps.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If one is of no known format.
    """
    is_run = RunFolder(adapter).adapter.is_dir()
    steps = by_step(RunFolder(adapter).adapter)
    if steps:
        return [_scored(path.name, path, step) for step, path in steps.items()]
    find_adapter_files(adapter)  # raises if there is none
    name = _name_of(adapter)
    step = step_of(name)
    step = (trained_steps(adapter) or 0) if step is None else step
    return [_scored(step_label(step) if is_run and step else name, adapter, step)]


def has_own_adapter(folder: Path, adapter: Path) -> bool:
    """Tell whether an adapter is a run's own.

    Args:
        folder: The run's folder.
        adapter: The same folder, or an adapter's place.
    """
    place = adapter.resolve()
    return place == folder.resolve() or place.is_relative_to(RunFolder(folder).adapter.resolve())


def default_output(adapter: Path | None, scored: Sequence[ScoredAdapter]) -> Path:
    """Say where scores go that are in no run's own record: each adapter's in its own folder.

    Args:
        adapter: What is scored; None for the base alone.
        scored: Its adapters.

    Returns:
        The folder.
    """
    if adapter is None:
        return _OUTPUT / BASE_LABEL
    if not RunFolder(adapter).adapter.is_dir():
        return _OUTPUT / f"{_name_of(adapter)}_{scored[-1].sha256[:_DIGITS]}"
    run = RunFolder(adapter)
    output = _OUTPUT / f"{run.recipe}_{run.path.resolve().name}"
    past = Evaluation.load(output) if RunFolder(output).record.is_file() else None
    if any(_is_taken(each, past) for each in scored):  # another run of that name, or one anew
        return output.with_name(f"{output.name}_{scored[-1].sha256[:_DIGITS]}")
    return output


def label_apart(
    scored: Sequence[ScoredAdapter], past: Evaluation | None, is_own: bool
) -> list[ScoredAdapter]:
    """Give adapters labels that are of no other one in a record, nor the base's.

    Args:
        scored: The adapters.
        past: The record.
        is_own: Whether it is that of the run whose checkpoints they are, which it knows by steps.

    Returns:
        The same, some with the beginning of their hash behind their names.
    """
    if is_own:
        return [
            replace(each, label=step_label(each.step)) if each.step else each for each in scored
        ]
    return [
        replace(each, label=f"{each.label}_{each.sha256[:_DIGITS]}")
        if _is_taken(each, past)
        else each
        for each in scored
    ]


def place_best(folder: Path, best: Best | None, step: int | None) -> None:
    """Put a run's best checkpoint into `adapter/best/`, and say so where that cannot be.

    Nothing is lost: what was the best before is kept under its step.

    Args:
        folder: The run's folder.
        best: The choice; None if there is no checkpoint.
        step: Its steps; None if the rule leaves all out.
    """
    if best is None:
        return
    places = RunFolder(folder)
    here, source = places.best_adapter, places.adapter / step_label(step or 0)
    was_there, now = any(written_files(here)), trained_steps(here)
    if step == now:
        return
    if step is not None and not any(written_files(source)):
        there = f"has that of step {now}" if now is not None else "does not have it"
        log.warning(
            "The best checkpoint is of step %d, whose adapter is not kept, and %s %s.",
            *(step, here, there),
        )
        return
    if was_there and now is None:
        log.warning("%s does not say of which step it is, so it stays as it is.", here)
        return
    if was_there and now is not None and not any(written_files(places.adapter / step_label(now))):
        copy_adapter(here, places.adapter / step_label(now))
    drop_adapter(here)
    if step is not None:
        copy_adapter(source, here)


def _scored(label: str, path: Path, step: int) -> ScoredAdapter:
    return ScoredAdapter(
        label, path, step, adapter_sha256(find_adapter_files(path)), header_of(path)
    )


def _is_taken(adapter: ScoredAdapter, past: Evaluation | None) -> bool:
    """Tell whether a label is the base's or, in a record, that of other or unknown files."""
    known = {each.label: each.sha256 for each in past.tuned} if past is not None else {}
    return adapter.label == BASE_LABEL or (
        adapter.label in known and known[adapter.label] != adapter.sha256
    )


def _name_of(adapter: Path) -> str:
    return adapter.stem if adapter.is_file() else adapter.resolve().name
