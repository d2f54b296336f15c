"""Carrying out planned runs: each in a process of its own, none twice, and one's failure its own.

A run is known by its plan's digest. One whose evaluation is finished is read and not repeated; one
that was stopped goes on from its checkpoint.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat

from sdtune.comparison.departures import departure
from sdtune.comparison.fresh_process import start_process
from sdtune.comparison.planning import PlannedRun
from sdtune.files.json_file import JsonFileError, parse_json, write_json
from sdtune.files.text_file import read_text
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.record import Evaluation
from sdtune.run_folder.run_lock import RunLock

__all__ = [
    "CarryOut",
    "Engine",
    "Outcome",
    "carry_out",
    "in_turn",
    "is_finished",
    "lock_problem",
    "read_outcome",
    "write_outcome",
]

log = logging.getLogger(__name__)

Start = Callable[[Sequence[str], Path], int]
"""From a command and the path of its log to an exit code."""

Changed = Callable[[PlannedRun], str | None]
"""From a run whose recipe files are written to a sentence; None if all is as it was planned."""


@dataclass(frozen=True)
class Outcome:
    """How a run came out, kept in `record.json` of its start folder.

    Attributes:
        name: The run.
        status: Whether it is there; `stopped` is one that was ended early, by its scores.
        reason: Why it failed or was ended, one sentence.
        command: The latest command, for a shell.
        seconds: Time of its processes, all starts together; None if it is not known, as of a start
            that outlived the comparison.
        folder: The run folder.
    """

    name: str
    status: Literal["finished", "stopped", "failed"]
    reason: str
    command: str
    seconds: FiniteFloat | None
    folder: str

    @property
    def minutes(self) -> str:
        """Its time in words; `-` if it is not known."""
        return "-" if self.seconds is None else f"{self.seconds / 60:.1f}"


CarryOut = Callable[[PlannedRun], Outcome]
Engine = Callable[[Iterable[PlannedRun], CarryOut], Iterator[Outcome]]
"""Carries out runs, and gives their outcomes in the order in which they end."""


def in_turn(plans: Iterable[PlannedRun], carry_out: CarryOut) -> Iterator[Outcome]:
    """Carry out one run after another.

    Args:
        plans: The runs.
        carry_out: What to do with each.

    Yields:
        Their outcomes, as they come.
    """
    yield from map(carry_out, plans)


def carry_out(
    plan: PlannedRun, start: Start | None = None, changed: Changed | None = None
) -> Outcome:
    """See to it that a run is there: read it, resume it or start it.

    Args:
        plan: The run.
        start: Starts a command; None is `start_process`.
        changed: Says that the run would read something else now than was planned.

    Returns:
        How it came out. A failure is an outcome too.
    """
    old = read_outcome(plan)
    has_checkpoint = bool(RunFolder(plan.folder).checkpoints)
    command = plan.command(resume=has_checkpoint)
    # of a run that begins anew nothing is left of the time before
    before = 0.0 if not has_checkpoint else old.seconds if old else None

    def outcome(reason: str, seconds: float | None, shown: str = "") -> Outcome:
        status: Literal["finished", "failed"] = "failed" if reason else "finished"
        words = shown or shlex.join(command)
        return Outcome(plan.name, status, reason, words, seconds, str(plan.folder))

    other = departure(plan)
    if other is not None:  # and neither read as this run, nor gone on with
        return outcome(other, None)
    if is_finished(plan):
        # who saw it end knows its time; 0 was written by an sdtune that did not tell
        seconds = old.seconds or None if old and old.status == "finished" else None
        return write_outcome(plan, outcome("", seconds, old.command if old else ""))
    in_use = lock_problem(plan)
    if in_use is not None:  # its record is written by whoever started it
        return outcome(in_use, None)
    plan.write_recipes()
    other = changed(plan) if changed is not None else None
    if other is not None:
        return write_outcome(plan, outcome(other, before))
    if plan.folder.is_dir() and not has_checkpoint:
        _make_way(plan.folder)
    log = plan.start_folder / "fit.log"
    reason = "It was interrupted."
    write_outcome(plan, outcome(reason, None))  # which stays, should this process be killed
    begin = time.monotonic()
    try:
        exit_code = (start or start_process)(command, log)
        reason = _reason(plan, exit_code, log)
    finally:  # time counts, even if somebody pressed Ctrl-C
        seconds = None if before is None else before + time.monotonic() - begin
        ended = write_outcome(plan, outcome(reason, seconds))
    return ended


def lock_problem(plan: PlannedRun) -> str | None:
    """Say that another process trains in a run's folder, if one does.

    Args:
        plan: The run.

    Returns:
        A sentence; None if the run is finished, or can be started or gone on with.
    """
    if is_finished(plan) or not plan.folder.is_dir():
        return None
    lock = RunLock(plan.folder)
    try:
        lock.acquire()
    except FileExistsError as error:
        return str(error)
    lock.release()
    return None


def is_finished(plan: PlannedRun) -> bool:
    """Tell whether a run need not be started.

    Args:
        plan: The run.

    Returns:
        Whether its evaluation says so, and holds more than the base.
    """
    try:
        evaluation = Evaluation.load(RunFolder(plan.folder).record)
        return evaluation.finished and len(evaluation.checkpoints) > 1
    except (FileNotFoundError, JsonFileError):
        return False


def _make_way(folder: Path) -> None:
    """Remove what a run left that was stopped before anything that could be gone on from.

    What it has drawn and scored, and an adapter, are worth more than their room: they are put
    beside it.
    """
    places = RunFolder(folder)
    if not places.adapter.exists() and not places.record.exists():
        shutil.rmtree(folder)
        return
    aside = (folder.with_name(f"{folder.name}_before_{number}") for number in count(1))
    kept = next(each for each in aside if not each.exists())
    folder.rename(kept)
    log.warning("%s has no checkpoint to go on from: it is %s now, and begins anew.", folder, kept)


def _reason(plan: PlannedRun, exit_code: int, log: Path) -> str:
    """Say in one sentence why a run is not there; nothing if it is."""
    if exit_code == 0:
        if is_finished(plan):
            return ""
        return (
            f"It ended, but {RunFolder(plan.folder).record} is missing or not finished; see {log}, "
            f"and remove {plan.folder} to start anew."
        )
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    starts = [number for number, line in enumerate(lines) if line.startswith("sdtune: ")]
    if starts:
        first, *others = lines[starts[-1] :]
        listed = [line.strip().removeprefix("- ") for line in others if line.startswith("  - ")]
        return " ".join(listed) or first.removeprefix("sdtune: ")
    return f"It ended with exit code {exit_code}; see {log}."


def _record_path(plan: PlannedRun) -> Path:
    return plan.start_folder / "record.json"


def read_outcome(plan: PlannedRun) -> Outcome | None:
    """Read how a run came out the last time.

    Args:
        plan: The run.

    Returns:
        The outcome; None if it was never started.
    """
    path = _record_path(plan)
    return parse_json(Outcome, read_text(path), path) if path.is_file() else None


def write_outcome(plan: PlannedRun, outcome: Outcome) -> Outcome:
    """Write down how a run came out.

    Args:
        plan: The run.
        outcome: How.

    Returns:
        The same.
    """
    write_json(_record_path(plan), asdict(outcome))
    return outcome
