"""Runs on a clock that only moves by what the parts of a run are said to take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from sdtune.bench import run_timer
from sdtune.bench.run_timer import Part, RunTimer
from sdtune.callbacks.periodic import PeriodicCallback
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.stop_after import StopAfter
from tests.callbacks.fake_technique import FakeData, FakeTechnique, make_trainer

START, RECORDING, STEP, VALIDATION, VISIT, SAVING, END = 7.0, 20.0, 1.0, 0.5, 30.0, 4.0, 3.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(run_timer, "now", clock)
    monkeypatch.setattr(run_timer, "counts_computing", lambda: True)
    return clock


class Technique(FakeTechnique):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.clock.seconds += STEP + (RECORDING if not self.batches else 0)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.clock.seconds += VALIDATION
        super().validation_step(batch, batch_idx)


class Drawing(PeriodicCallback):
    folder_name = "drawn"

    def __init__(self, clock: Clock, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self.clock = clock

    def on_train_start(self, *given: Any) -> None:
        super().on_train_start(*given)
        self.clock.seconds += START

    def at_step(self, *given: Any) -> None:
        self.clock.seconds += VISIT


class Saving(ResumeCheckpoint):
    def __init__(self, clock: Clock, every_n_steps: int | None = None) -> None:
        super().__init__(every_n_steps)
        self.clock = clock

    def _save_checkpoint(self, *given: Any) -> None:
        self.clock.seconds += SAVING
        super()._save_checkpoint(*given)


class Ending(Callback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_end(self, *given: Any) -> None:
        self.clock.seconds += END


def fit(clock: Clock, folder: Path, timer: RunTimer | None, **arguments: Any) -> int:
    """Train with all that takes time, and tell how many steps were taken."""
    every = arguments.pop("every_n_steps", None)
    callbacks = [Drawing(clock, every), Saving(clock, every), Ending(clock)]
    trainer = make_trainer(folder, *([timer] if timer else []), *callbacks, **arguments)
    trainer.fit(Technique(clock), FakeData())
    return int(trainer.global_step)


@pytest.mark.parametrize(
    ("arguments", "within"),
    [
        ({"max_steps": 100, "every_n_steps": 30}, 0.0),
        ({"max_steps": 100, "every_n_steps": 5}, 0.0),  # also while it is timed
        ({"max_steps": 101, "val_check_interval": 4, "every_n_steps": 50}, 0.0),
        ({"max_steps": 100, "val_check_interval": 20, "check_val_every_n_epoch": None}, 0.0),
        ({"max_steps": 100}, 0.0),  # at each epoch of five steps
        ({"max_steps": 100, "check_val_every_n_epoch": 4}, 0.0),
        ({"max_steps": -1, "max_epochs": 9}, 0.0),
        ({"max_steps": 7, "every_n_steps": 3}, 0.0),
        ({"max_steps": 1}, 0.0),
        # two batches in most steps, and one in the last of an epoch
        ({"max_steps": 90, "accumulate_grad_batches": 2, "every_n_steps": 30}, 0.02),
    ],
)
def test_the_first_steps_tell_what_the_whole_run_takes(
    tmp_path: Path, clock: Clock, arguments: dict[str, Any], within: float
) -> None:
    timer = RunTimer(begun=0.0)
    assert fit(clock, tmp_path / "short", timer, **arguments) <= 23
    foretold = sum(each.together for each in timer.parts())
    clock.seconds = 0.0
    fit(clock, tmp_path / "whole", None, **arguments)
    assert foretold == pytest.approx(clock.seconds, rel=within or 1e-9)


def test_parts_are_told_apart(tmp_path: Path, clock: Clock) -> None:
    timer = RunTimer(begun=0.0)
    fit(clock, tmp_path, timer, max_steps=200, every_n_steps=60)
    assert timer.timed == 20
    assert timer.start == START
    assert timer.parts() == [
        Part("start", 1, START),
        Part("first steps, beyond the others", 1, RECORDING),
        Part("step", 200, STEP),
        Part("validation", 40, VALIDATION),
        Part("Drawing", 4, VISIT),
        Part("Saving", 4, SAVING),
        Part("end", 1, END),
    ]


def test_a_run_without_an_end_is_refused(tmp_path: Path, clock: Clock) -> None:
    with pytest.raises(ValueError, match=r"Expected `trainer\.max_steps` to be given"):
        fit(clock, tmp_path, RunTimer(begun=0.0), max_steps=-1, max_epochs=-1)


def test_another_end_is_the_whole_runs(tmp_path: Path, clock: Clock) -> None:
    timer = RunTimer(begun=0.0)
    trainer = make_trainer(tmp_path, timer, StopAfter(9), max_steps=100)
    trainer.fit(Technique(clock), FakeData())
    assert (timer.timed, trainer.global_step) == (6, 9)
    assert Part("step", 9, STEP) in timer.parts()
    with pytest.raises(ValueError, match=r"more than 3 steps, .* has ended after 2"):
        make_trainer(tmp_path, RunTimer(0.0), StopAfter(2), max_steps=100).fit(
            Technique(clock), FakeData()
        )


def test_slow_steps_are_fewer(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_timer.time, "perf_counter", lambda: 20 * clock.seconds)
    timer = RunTimer(begun=0.0)
    assert fit(clock, tmp_path, timer, max_steps=100, every_n_steps=100) == 7
    assert timer.timed == 4
