"""What compiling took is said once, against the steps after it."""

from __future__ import annotations

import pytest
import torch

from sdtune.techniques import compile_clock
from sdtune.techniques.compile_clock import CompileClock, compile_seconds


@pytest.fixture
def machine(monkeypatch):
    """A machine whose clock, and what it has compiled, are set by hand."""

    class Compiled:
        seconds, graphs, time = 100.0, 7, 0.0

        def listen(self) -> None:
            """It knows anyway."""

    found = Compiled()
    monkeypatch.setattr(compile_clock, "_of_process", lambda: found)
    monkeypatch.setattr(compile_clock, "_now", lambda: found.time)
    return found


def steps(clock, machine, count, seconds=0.5, batches=1, total=200):
    lines = []
    for _ in range(count):
        machine.time += seconds
        lines.append(clock.after_batch(batches, lambda: total))
    return [line for line in lines if line is not None]


def test_it_is_said_once_steps_take_what_they_take(machine):
    clock = CompileClock(16)
    machine.seconds, machine.graphs = 130.0, 12
    assert steps(clock, machine, 1, seconds=31.0) == []
    assert steps(clock, machine, 4) == []
    [line] = steps(clock, machine, 10)
    assert line == (
        "Compiled 16 blocks of the UNet into 5 graphs in 30.0 s, which is as long as 60 "
        "steps take (0.5 s each); the run has 200."
    )


def test_what_is_compiled_later_is_said_by_itself(machine):
    clock = CompileClock(16)
    machine.seconds, machine.graphs = 130.0, 12
    steps(clock, machine, 10)
    machine.seconds, machine.graphs = 140.0, 16
    [line] = steps(clock, machine, 6, batches=2, total=None)
    assert "into 4 graphs in 10.0 s, which is as long as 10 steps take (1 s each)" in line


def test_compiling_is_counted_after_dynamo_was_reset():
    compile_seconds()
    torch._dynamo.reset()
    before = compile_seconds()
    torch.compile(lambda values: values + 1, backend="eager")(torch.ones(1))
    assert compile_seconds() > before


def test_nothing_is_said_of_nothing(machine):
    assert steps(CompileClock(16), machine, 20) == []


def test_a_short_run_says_it_at_its_end(machine):
    clock = CompileClock(4)
    assert clock.at_end(0) is None
    machine.seconds, machine.graphs = machine.seconds + 30.0, machine.graphs + 5
    assert clock.after_batch(1, lambda: 4) is None
    line = "Compiled 4 blocks of the UNet into 5 graphs in 30.0 s; the run had 4 steps."
    assert clock.at_end(4) == line
    assert clock.at_end(4) is None
