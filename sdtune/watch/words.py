"""What a run is doing, in words."""

from __future__ import annotations

from dataclasses import dataclass

from sdtune.report.words import duration
from sdtune.watch.state import RunState

__all__ = ["Live", "live_words"]

_LONG_SILENCE = 60.0  # seconds


@dataclass(frozen=True)
class Live:
    """The part of the page that says what the run is doing.

    Attributes:
        heading: In a few words.
        step: Optimizer steps taken.
        steps: Those to be taken; None if that is not known, or does not matter any more.
        rows: Name -> text.
        note: A sentence; may be empty.
        token: What the stop button sends; empty where there is none.
    """

    heading: str
    step: int
    steps: int | None
    rows: list[tuple[str, str]]
    note: str
    token: str = ""


def live_words(state: RunState, asked_to_stop: bool = False) -> Live:
    """Word a run's state.

    Args:
        state: The state.
        asked_to_stop: Whether the page's button was pressed.

    Returns:
        Its words.
    """
    of = f" of {state.steps}" if state.steps else ""
    headings = {
        "training": f"Training: step {state.step}{of}",
        "elsewhere": f"Training on {state.process.host if state.process else ''}: "
        f"step {state.step}{of}",
        "finished": "Finished",
        "ended": f"Not training: it got to step {state.step}{of}",
    }
    heading = headings[state.doing]
    if state.process is not None and state.silence is None:
        heading = "Starting"
    if state.doing == "training" and asked_to_stop:
        heading = "Stopping after this step"
    is_on = state.process is not None
    rows = [*_times(state)] if is_on else []
    return Live(heading, state.step, state.steps if is_on else None, rows, _note(state))


def _times(state: RunState) -> list[tuple[str, str]]:
    rows = []
    if state.seconds_left is not None:
        rows.append(("time left", f"about {duration(state.seconds_left)}"))
    elif state.silence is not None:
        rows.append(("time left", f"not known{_why_not(state)}"))
    if state.rate is not None:
        rows.append(("speed", _speed(state.rate.seconds_per_step)))
    if state.silence is not None and state.silence > _LONG_SILENCE:
        rows.append(("last sign of life", f"{duration(state.silence)} ago"))
    return rows


def _why_not(state: RunState) -> str:
    if state.rate is None:
        return " before two steps are logged"
    return ", for nothing in the run's folder says how many steps it takes"


def _speed(seconds: float) -> str:
    if seconds <= 0:
        return "not measured yet"
    return f"{seconds:.1f} s a step" if seconds >= 1 else f"{1 / seconds:.1f} steps a second"


def _note(state: RunState) -> str:
    if state.doing == "elsewhere":
        return "Its folder names another machine, so it cannot be stopped from here."
    if state.process is not None and state.silence is None:
        return "Nothing is logged yet: the base is loaded, and what was untuned is drawn first."
    if state.doing == "ended" and state.can_go_on:
        return (
            "No process of this machine trains here. With --resume it goes on from its checkpoint."
        )
    if state.doing == "ended":
        return "No process of this machine trains here."
    return ""
