"""What was measured, in words and columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from sdtune.bench.phases import PHASES
from sdtune.bench.record import Bench, Growth, Row, Spread

__all__ = ["bench_markdown"]


def bench_markdown(bench: Bench) -> str:
    """Write tables that a console shows as well as a page.

    Args:
        bench: What was measured.
    """
    return "\n".join(_lines(bench)) + "\n"


def _lines(bench: Bench) -> Iterator[str]:
    machine = ", ".join(f"{name} {value}" for name, value in bench.machine.items())
    yield f"    {bench.command}"
    yield ""
    yield f"{machine}. Seconds are {bench.clock}."
    for precision, ceiling in bench.ceiling.items():
        yield f"Large matrices in {precision}: {ceiling / 1e9:,.0f} GFLOP/s."
    measured = [row for row in bench.rows if row.error is None]
    if bench.rows:
        yield from _table("Speed", _SPEED, bench.rows, _speed)
    if measured:
        yield from _table("Shares of a step", ("technique", *PHASES), measured, _shares)
        yield from _table("Memory in MB", _MEMORY, measured, _memory)
        yield from _table("In a step", _COUNTS, measured, _counts)
    if bench.growth is not None:
        yield from _growth(bench.growth)


_SPEED = (
    "technique",
    "batch",
    "steps/s",
    "images/s",
    "start s",
    "first step s",
    "compiling s",
    "to reference",
    "to bare",
)
_MEMORY = ("technique", "weights", "adapter", "gradients", "optimizer", "activations", "peak")
_COUNTS = (
    "technique",
    "operations",
    "dtype copies",
    "reads that wait",
    "GFLOP",
    "of the ceiling",
    "kernels",
    "copies to GPU",
    "waits",
    "GPU busy",
)


def _speed(row: Row) -> list[str]:
    if row.seconds is None:
        return [row.technique, str(row.batch_size), row.error or "-"]
    ratios = [
        f"{_ratio(row.others[name].ratio)}"
        if name in row.others
        else ("no room" if name in row.without_room else "-")
        for name in ("reference", "bare")
    ]
    return [
        row.technique,
        str(row.images),
        f"{1 / row.seconds.median:.3g}",
        f"{row.images_per_second:.3g}",
        _number(row.preparation),
        _number(row.first_step),
        _number(row.compile_seconds),
        *ratios,
    ]


def _ratio(found: Spread) -> str:
    return f"{found.median:.2f} ({found.low:.2f}-{found.high:.2f})"


def _shares(row: Row) -> list[str]:
    return [row.technique, *(f"{row.phases[phase]:.1%}" for phase in PHASES)]


def _memory(row: Row) -> list[str]:
    memory = row.memory
    if memory is None:
        return [row.technique]
    sizes = [getattr(memory, name) for name in _MEMORY[1:]]
    return [row.technique, *(f"{size / 1e6:,.1f}" for size in sizes)]


def _counts(row: Row) -> list[str]:
    names = ("operations", "dtype_copies", "waits")
    cells = [row.technique, *(f"{row.operations[name]:,.0f}" for name in names)]
    cells += [f"{(row.flop or 0) / 1e9:,.2f}", f"{row.flop_use or 0:.0%}"]
    gpu = row.gpu
    if gpu is None:
        return [*cells, "-", "-", "-", "-"]
    counts = (gpu.kernels, gpu.copies_to_gpu, gpu.waits)
    return [*cells, *(f"{each:,.0f}" for each in counts), f"{row.gpu_busy or 0:.0%}"]


def _growth(growth: Growth) -> Iterator[str]:
    head = (
        "technique",
        growth.of,
        "ms/step",
        "images/s",
        "data",
        "start s",
        "adapter MB",
        "act. MB",
    )

    def cells(row: Row) -> list[str]:
        value = str(getattr(row, growth.of))
        if row.seconds is None:
            return [row.technique, value, row.error or "-"]
        found = row.seconds
        times = f"{1e3 * found.median:.1f} ({1e3 * found.low:.1f}-{1e3 * found.high:.1f})"
        memory = row.memory
        sizes = [memory.adapter, memory.activations] if memory else []
        return [
            row.technique,
            value,
            times,
            f"{row.images_per_second:.3g}",
            f"{row.phases.get('data', 0.0):.1%}",
            _number(row.preparation),
            *(f"{size / 1e6:,.1f}" for size in sizes),
        ]

    yield from _table(f"A step against {growth.of}", head, growth.rows, cells)


def _table(
    title: str, head: Sequence[str], rows: Sequence[Row], cells: Callable[[Row], list[str]]
) -> Iterator[str]:
    body = [list(head), *(cells(row) for row in rows)]
    body = [[*line, *[""] * (len(head) - len(line))] for line in body]
    widths = [max(len(line[column]) for line in body) for column in range(len(head))]
    yield f"\n### {title}\n"
    for number, line in enumerate(body):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"| {' | '.join(padded)} |"
        if number == 0:
            yield f"|{'|'.join('-' * (width + 2) for width in widths)}|"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
