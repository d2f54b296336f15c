"""What was measured, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.bench.phases import PHASES
from sdtune.bench.record import Bench, Growth, Row
from sdtune.files.atomic_file import replaced_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_bench"]

_COLOURS = ("#b8b8b8", "#e0a030", "#3b6fb6", "#6fa8dc", "#58a55c", "#8e6bbf")


def draw_bench(bench: Bench, path: Path) -> None:
    """Draw shares of a step and ratios, or what a step costs against what grows.

    Args:
        bench: What was measured.
        path: A PNG file; it is replaced.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    growth = bench.growth
    rows = [row for row in bench.rows if row.error is None]
    columns = 2 if rows or growth is not None else 1
    figure = Figure(figsize=(5.5 * columns, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    if growth is not None:
        _draw_growth(growth, axes)
    elif rows:
        _draw_shares(rows, axes[0])
        _draw_ratios(rows, axes[1])
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw_shares(rows: list[Row], axes: Axes) -> None:
    names = [row.technique for row in rows]
    left = [0.0] * len(rows)
    for phase, colour in zip(PHASES, _COLOURS, strict=True):
        widths = [row.phases[phase] for row in rows]
        axes.barh(names, widths, left=left, label=phase, color=colour)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    axes.set(xlim=(0, 1), xlabel="share of a step")
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, frameon=False)


def _draw_ratios(rows: list[Row], axes: Axes) -> None:
    for name, marker in (("reference", "o"), ("bare", "s")):
        found = [(row.technique, row.others[name].ratio) for row in rows if name in row.others]
        if not found:
            continue
        middles = [ratio.median for _, ratio in found]
        errors = [
            [ratio.median - ratio.low for _, ratio in found],
            [ratio.high - ratio.median for _, ratio in found],
        ]
        names = [technique for technique, _ in found]
        axes.errorbar(middles, names, xerr=errors, fmt=marker, capsize=3, label=f"to {name}")
    axes.axvline(1.0, color="#888888", linewidth=0.8)
    axes.set(xlim=(0, None), xlabel="times as fast (median and quartiles)")
    axes.invert_yaxis()
    if any(row.others for row in rows):
        axes.legend(frameon=False)


def _draw_growth(growth: Growth, axes: list[Axes]) -> None:
    for technique in dict.fromkeys(row.technique for row in growth.rows):
        rows = [row for row in growth.rows if row.technique == technique and row.seconds]
        values = [getattr(row, growth.of) for row in rows]
        found = [row.seconds for row in rows if row.seconds]
        middles = [1e3 * each.median for each in found]
        errors = [
            [1e3 * (each.median - each.low) for each in found],
            [1e3 * (each.high - each.median) for each in found],
        ]
        axes[0].errorbar(values, middles, yerr=errors, marker="o", capsize=3, label=technique)
        if growth.of == "pictures":
            axes[1].plot(values, [row.preparation or 0.0 for row in rows], marker="o")
        else:
            axes[1].plot(values, [row.images_per_second or 0.0 for row in rows], marker="o")
    for each in axes:
        each.set(xlabel=growth.of, xscale="log")
        each.set_ylim(bottom=0)
    axes[0].set_ylabel("ms a step")
    axes[1].set_ylabel("s to the first step" if growth.of == "pictures" else "images/s")
    axes[0].legend(frameon=False)
