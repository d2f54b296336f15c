"""Where the time goes from `lightning run` to the first step: `sdtune bench --start RECIPE`."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdtune.bench.bench_place import START_JSON
from sdtune.bench.captured_process import run_captured
from sdtune.commands.quick_imports import quick_imports
from sdtune.files.json_file import write_json
from sdtune.files.printable_text import escape_unprintable, show

__all__ = ["main", "time_start"]

_IMPORTED = ("torch", "lightning.pytorch", "diffusers", "peft", "sdtune.commands.fit")
_SHOWN = 0.005  # seconds
_RUNS = 3  # the first fills the cache, and Python's own


def time_start(recipe: Path, output: Path | None = None) -> str:
    """Start a recipe several times, each in a process of its own that ends after the first step.

    Args:
        recipe: Its file, or the name of one that comes with sdtune.
        output: Folder for start.json, if it is to be written.

    Returns:
        A table: seconds by stage, of the quickest start with a warm cache. Stages that take none
        are left out.

    Raises:
        ValueError: If the recipe does not start.
    """
    starts = [_time_once(recipe) for _ in range(_RUNS)]
    quickest = min(starts[1:], key=lambda each: sum(row[1] for row in each))
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        keys = ("stage", "clock", "computed")
        stages = [dict(zip(keys, row, strict=True)) for row in quickest]
        write_json(output / START_JSON, {"version": 1, "recipe": str(recipe), "stages": stages})
    return _table(quickest)


def main(arguments: Sequence[str]) -> int:
    """Start a recipe in this process, and print a line of JSON when the first step is taken.

    Args:
        arguments: A recipe, and where its run may write.

    Returns:
        The exit code, 1: a run that starts ends this process with 0.
    """
    escape_unprintable()
    recipe, root = arguments
    clock = _Clock()
    with quick_imports():
        for name in _IMPORTED:
            __import__(name)
            clock.lap(f"import {name}")
    from lightning.pytorch import Callback

    from sdtune.commands.quiet import quiet_misleading_messages
    from sdtune.commands.recipe_cli import RecipeCLI

    class Stages(Callback):
        """Notes when the Trainer comes to each stage."""

        def setup(self, *_: Any, **__: Any) -> None:
            clock.lap("Trainer's preparations")

        def on_fit_start(self, *_: Any) -> None:
            clock.lap("base loaded, data scanned")

        def on_train_batch_end(self, *_: Any) -> None:
            clock.lap("first batch and step")
            show(json.dumps(clock.stages))
            os._exit(0)

    quiet_misleading_messages()
    cli = RecipeCLI(["--config", recipe, f"--trainer.default_root_dir={root}"])
    clock.lap("recipe parsed, classes built, data checked")
    callbacks: list[Any] = cli.trainer.callbacks  # type: ignore[attr-defined]
    for each in callbacks:
        clock.time_start_of(each)
    callbacks.insert(0, Stages())
    cli.fit()
    return 1


class _Clock:
    """Stages, with the seconds of the clock and those that the process computed."""

    def __init__(self) -> None:
        begun = time.time() - float(os.environ.get("SDTUNE_BENCH_BEGUN", time.time()))
        self.stages = [("Python", begun, time.process_time())]
        self._clock, self._computed = time.perf_counter(), time.process_time()

    def time_start_of(self, callback: Any) -> None:
        """Let what a callback does when training starts be a stage, and what comes before it."""
        method = callback.on_train_start

        def timed(*arguments: Any) -> None:
            self.lap("latents and prompts, and between callbacks")
            method(*arguments)
            self.lap(f"{type(callback).__name__} at the start")

        callback.on_train_start = timed

    def lap(self, name: str) -> None:
        """End a stage."""
        clock, computed = time.perf_counter(), time.process_time()
        self._add(name, clock - self._clock, computed - self._computed)
        self._clock, self._computed = clock, computed

    def _add(self, name: str, clock: float, computed: float) -> None:
        before = next((row for row in self.stages if row[0] == name), (name, 0.0, 0.0))
        row = (name, before[1] + clock, before[2] + computed)
        if before in self.stages:
            self.stages[self.stages.index(before)] = row
        else:
            self.stages.append(row)


def _time_once(recipe: Path) -> list[tuple[str, float, float]]:
    environment = {**os.environ, "SDTUNE_BENCH_BEGUN": str(time.time())}
    with tempfile.TemporaryDirectory() as root:
        command = [sys.executable, "-m", "sdtune.commands.starting", str(recipe), root]
        done = run_captured(command, environment)
    if done.returncode:
        raise ValueError(f"{recipe} does not start: {done.stderr.strip()[-500:]}")
    stages = json.loads(done.stdout.splitlines()[-1])
    return [(str(name), float(clock), float(computed)) for name, clock, computed in stages]


def _table(stages: Sequence[tuple[str, float, float]]) -> str:
    rows = [row for row in stages if max(row[1:]) >= _SHOWN]
    rows.append(("from the command to the first step", *_sums(stages)))
    lines = ["| stage | seconds of the clock | computed |", "|---|---|---|"]
    lines += [f"| {name} | {clock:.2f} | {computed:.2f} |" for name, clock, computed in rows]
    return "\n".join(lines)


def _sums(stages: Sequence[tuple[str, float, float]]) -> tuple[float, float]:
    return sum(row[1] for row in stages), sum(row[2] for row in stages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
