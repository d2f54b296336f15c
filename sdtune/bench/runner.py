"""A call of `sdtune bench`, done: all rows, tables, a record and a plot."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from sdtune.bench.bench_call import BenchCall, Precision, TechniqueName
from sdtune.bench.bench_place import BENCH_JSON, BENCH_PLOT, BENCH_TEXT
from sdtune.bench.captured_process import run_captured
from sdtune.bench.ceiling import matmul_ceiling
from sdtune.bench.growth import measure_growth, read_growth
from sdtune.bench.machine import clock_words, describe_machine
from sdtune.bench.measurement import measure
from sdtune.bench.plots import draw_bench
from sdtune.bench.random_bases import RANDOM_BASES
from sdtune.bench.record import VERSION, Bench, GrowingName, Growth, Row
from sdtune.bench.tables import bench_markdown
from sdtune.bench.window import WALL_CLOCK
from sdtune.bench.workloads import Workload
from sdtune.files.json_file import read_json, write_json
from sdtune.models import check_base

__all__ = ["run_bench"]

_USUAL: tuple[TechniqueName, ...] = ("style_lora", "textual_inversion", "dreambooth")
_FOLDER = "SDTUNE_BENCH_FOLDER"  # the processes that the Trainer starts share one


def run_bench(call: BenchCall, arguments: Sequence[str] = ()) -> Bench:
    """Measure what a call asks for, print it, and write it if there is a folder for it.

    Args:
        call: The call.
        arguments: Its words, to be repeated.

    Returns:
        All that was measured.

    Raises:
        ValueError: If the base is not known, `grow` cannot be read, or the precision needs a GPU.
    """
    _check_base(call.base)
    if call.compile and call.quantization is not None:
        raise ValueError(
            f"Expected `--compile` to be false with `--quantization` {call.quantization}, whose "
            "weights are made anew where they are needed: take one of the two."
        )
    grows = None if call.grow is None else read_growth(call.grow)
    precision = call.precision or ("bf16-mixed" if torch.cuda.is_available() else "32-true")
    if precision == "16-mixed" and not torch.cuda.is_available():
        raise ValueError(
            "Expected `--precision` to be 32-true or bf16-mixed on a CPU, but got 16-mixed."
        )
    with _matmul_precision(call.tf32):
        return _measured(replace(call, precision=precision), grows, arguments)


def _measured(
    call: BenchCall, grows: tuple[GrowingName, list[int]] | None, arguments: Sequence[str]
) -> Bench:
    precision = cast(Precision, call.precision)
    ceiling = matmul_ceiling(precision)
    bench = Bench(
        command=shlex.join(["sdtune", "bench", *arguments]),
        machine=describe_machine(),
        clock=clock_words(),
        ceiling={precision: ceiling},
        rows=[],
    )
    with _shared_folder() as folder:
        runner = _Runner(call, ceiling, folder)
        if grows is None:
            for row in runner.rows():
                bench.rows.append(row)
                if _is_first():
                    _write(bench, call.output)
        else:
            bench = replace(bench, growth=runner.growth(*grows))
    if _is_first():
        _tell(bench, call.output)
    return bench


class _Runner:
    """Measures by one call.

    Args:
        call: The call, with its precision.
        ceiling: See `matmul_ceiling`.
        folder: For pictures.
    """

    def __init__(self, call: BenchCall, ceiling: float, folder: Path) -> None:
        self.call = call
        self.ceiling = ceiling
        self.folder = folder
        self.techniques: Sequence[TechniqueName] = call.technique or _USUAL

    def rows(self) -> Iterator[Row]:
        """Measure each technique beside the other loops."""
        for technique in self.techniques:
            _say(f"{technique} on {self.call.base} ...")
            yield self._measure(self.call, technique, compares=WALL_CLOCK not in os.environ)

    def growth(self, name: GrowingName, values: Sequence[int]) -> Growth:
        """Measure each technique at each value."""
        rows: list[Row] = []
        for technique in self.techniques:

            def at(value: int, technique: TechniqueName = technique) -> Row:
                _say(f"{technique} on {self.call.base}, {name} {value} ...")
                if name == "devices":
                    return self._in_processes(technique, value)
                changes: dict[str, Any] = {name: value}
                changed = replace(self.call, **changes)
                return self._measure(changed, technique, compares=False)

            rows += measure_growth(name, values, at).rows
        return Growth(name, rows)

    def _measure(self, call: BenchCall, technique: TechniqueName, compares: bool) -> Row:
        workload = Workload.of(call, technique, self.folder)
        return measure(
            workload,
            cast(Precision, call.precision),
            call.steps,
            self.ceiling,
            name=call.base,
            compares=compares,
            devices=call.devices,
        )

    def _in_processes(self, technique: TechniqueName, devices: int) -> Row:
        """Measure in a process of its own, which starts the others."""
        changes = {"devices": devices, "technique": technique, "grow": None, "start": None}
        given = {**asdict(self.call), **changes}
        environment = {key: value for key, value in os.environ.items() if key != _FOLDER}
        environment[WALL_CLOCK] = "1"  # time that processes wait for each other counts
        with tempfile.TemporaryDirectory() as name:
            given["output"] = name
            words = [
                f"--{key}={str(value).lower() if isinstance(value, bool) else value}"
                for key, value in given.items()
                if value is not None
            ]
            command = [sys.executable, "-m", "sdtune", "bench", *words]
            done = run_captured(command, environment)
            if done.returncode:
                raise ValueError(f"{shlex.join(command)} failed: {done.stderr[-500:]}")
            [row] = read_json(Bench, Path(name) / BENCH_JSON, VERSION).rows
        return row


def _check_base(base: str) -> None:
    if base in RANDOM_BASES:
        return
    try:
        check_base(base)
    except ValueError as error:
        names = ", ".join(f"`{name}`" for name in RANDOM_BASES)
        raise ValueError(
            f"{error} `--base` also knows {names}: architectures with random weights."
        ) from error


@contextmanager
def _matmul_precision(tf32: bool) -> Iterator[None]:
    """Let float32 matrices be multiplied in TF32, for a while."""
    before = torch.get_float32_matmul_precision()
    if tf32:
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def _shared_folder() -> Iterator[Path]:
    known = os.environ.get(_FOLDER)
    if known is not None:  # of the process that started this one
        yield Path(known)
        return
    folder = Path(tempfile.mkdtemp(prefix="sdtune_bench_"))
    os.environ[_FOLDER] = str(folder)
    try:
        yield folder
    finally:
        del os.environ[_FOLDER]
        shutil.rmtree(folder, ignore_errors=True)


def _tell(bench: Bench, output: Path | None) -> None:
    if output is not None:  # first: whoever reads along may be gone
        _write(bench, output)
        draw_bench(bench, output / BENCH_PLOT)
    sys.stdout.write(bench_markdown(bench))
    if output is not None:
        sys.stdout.write(f"\nwritten: {output}/{BENCH_JSON}, {BENCH_TEXT}, {BENCH_PLOT}\n")


def _write(bench: Bench, output: Path | None) -> None:
    """Write what there is; a call that is ended early has lost nothing that it measured."""
    if output is None:
        return
    output.mkdir(parents=True, exist_ok=True)
    write_json(output / BENCH_JSON, asdict(bench))
    (output / BENCH_TEXT).write_text(bench_markdown(bench), encoding="utf-8")


def _is_first() -> bool:
    """Tell whether this is the first of the processes that train together."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _say(what: str) -> None:
    if _is_first():
        print(what, file=sys.stderr, flush=True)  # noqa: T201
