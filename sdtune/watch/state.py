"""How far a run is, and when it will be done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from sdtune.report.run import ReportedRun
from sdtune.run_folder.curves import Curve
from sdtune.run_folder.event_files import EVENT_FILES
from sdtune.run_folder.layout import RunFolder
from sdtune.run_folder.run_process import RunProcess, training_process

__all__ = ["Rate", "RunState", "rate_of", "state_of"]


@dataclass(frozen=True)
class Rate:
    """How fast steps are taken, pauses to draw and to score among them.

    Attributes:
        step: The last step that was logged.
        seconds_per_step: From one to the next.
    """

    step: int
    seconds_per_step: float


@dataclass(frozen=True)
class RunState:
    """What a run is doing.

    Attributes:
        doing: `training`; `elsewhere`, on another machine, which cannot be asked; `finished`; or
            `ended` before its last step.
        step: Optimizer steps that are known to be taken.
        steps: Those that it is to take; None if that is not known.
        rate: How fast; None before two steps are logged.
        seconds_left: Until the last step; None if it is not known.
        silence: Seconds since something was logged; None if nothing was.
        process: What trains, if something does.
        can_go_on: Whether there is a checkpoint to resume from.
        can_stop: Whether it has taken steps, and so listens to Ctrl-C and writes a checkpoint.
    """

    doing: Literal["training", "elsewhere", "finished", "ended"]
    step: int
    steps: int | None
    rate: Rate | None
    seconds_left: float | None
    silence: float | None
    process: RunProcess | None
    can_go_on: bool
    can_stop: bool


def state_of(run: ReportedRun, now: float | None = None) -> RunState:
    """Look at a run.

    Args:
        run: What its folder says.
        now: Seconds since 1970; None for the clock's.

    Returns:
        Its state.
    """
    process = training_process(run.folder)
    silence = _silence(run, time.time() if now is None else now)
    doing: Literal["training", "elsewhere", "finished", "ended"] = "ended"
    if process is not None:
        doing = "training" if process.is_here else "elsewhere"
    elif run.is_finished:
        doing = "finished"
    # of a start that went on, the pause before it is not training
    since = max((each.step for each in run.resumes), default=0)
    losses = run.curves.get("train/loss")
    rate = rate_of(losses, since)
    step = run.steps_taken if doing == "finished" else run.last_step
    steps = process.steps if process is not None and process.steps else run.max_steps
    left = None
    if process is not None and rate is not None and steps and silence is not None:
        left = max(0.0, (steps - rate.step) * rate.seconds_per_step - silence)
    can_go_on = bool(RunFolder(run.folder).checkpoints)
    can_stop = doing == "training" and losses is not None and losses.steps[-1] >= since
    return RunState(doing, step, steps, rate, left, silence, process, can_go_on, can_stop)


def rate_of(curve: Curve | None, since: int = 0) -> Rate | None:
    """Measure how fast a curve's steps were taken.

    Args:
        curve: What is logged while training.
        since: The step that the latest start began at.

    Returns:
        The rate; None if fewer than two steps of that start were logged.
    """
    if curve is None:
        return None
    times = zip(curve.steps, curve.seconds, strict=True)
    points = [(step, second) for step, second in times if step >= since]
    if len(points) < 2 or points[-1][0] <= points[0][0]:
        return None
    (first, begin), (last, end) = points[0], points[-1]
    return Rate(last, max(0.0, end - begin) / (last - first))


def _silence(run: ReportedRun, now: float) -> float | None:
    try:
        files = [each.stat().st_mtime for each in run.folder.glob(EVENT_FILES)]
    except OSError:  # one was deleted meanwhile
        return None
    return max(0.0, now - max(files)) if files else None
