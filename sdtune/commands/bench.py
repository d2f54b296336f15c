"""`sdtune bench`: what training costs on this machine, beside a plain loop."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from sdtune.bench.bench_call import BenchCall
from sdtune.bench.bench_place import bench_problem
from sdtune.commands.call import read_call
from sdtune.commands.errors import CallError
from sdtune.commands.quiet import (
    quiet_loader_advice,
    quiet_misleading_messages,
    quiet_trainers,
)
from sdtune.commands.recipe import recipe_file
from sdtune.commands.tools import refusing
from sdtune.files.printable_text import show

__all__ = ["main"]


def main(arguments: Sequence[str]) -> int:
    """Measure, and print tables.

    Args:
        arguments: The command line after `sdtune bench`.

    Returns:
        The exit code: 0, or 1 if nothing could be measured.

    Raises:
        CallError: If the call is wrong; it lists every problem.
    """
    call = BenchCall(**read_call(BenchCall, "sdtune bench", arguments, _problems))
    quiet_misleading_messages()
    quiet_loader_advice()
    if call.start is not None:
        from sdtune.commands.starting import time_start

        show(*time_start(call.start, call.output).split("\n"))
        return 0
    # only now: it brings torch along
    from sdtune.bench.runner import run_bench

    with refusing(), quiet_trainers():
        bench = run_bench(call, arguments)
    return 0 if bench.rows or bench.growth else 1


def _problems(
    base: str = "nano",
    steps: int = 1,
    batch_size: int | None = None,
    resolution: int | None = None,
    rank: int = 1,
    pictures: int = 1,
    devices: int = 1,
    output: Path | None = None,
    start: Path | None = None,
    compile: bool = False,
    compile_blocks: list[str] | None = None,
    **others: object,
) -> Iterator[str]:
    numbers = {
        "steps": steps,
        "batch_size": batch_size,
        "resolution": resolution,
        "rank": rank,
        "pictures": pictures,
        "devices": devices,
    }
    for name, value in numbers.items():
        if value is not None and value < 1:
            yield f"Expected `--{name}` to be a positive integer, but got {value}."
    if resolution is not None and resolution > 0 and resolution % 8:
        yield f"Expected `--resolution` to be a multiple of 8, but got {resolution}."
    if compile_blocks and not compile:
        yield "Expected `--compile_blocks` to be given with `--compile`, but it is not."
    if output is not None and (problem := bench_problem(output, is_start=start is not None)):
        yield problem
    if start is not None:
        try:
            recipe_file(start)
        except CallError as error:
            yield from error.problems
