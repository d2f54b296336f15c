"""Curves as SVG that takes its colours from the page, so that it is light or dark with it."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sdtune.report.legend import draw_legend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sdtune.run_folder.curves import Curve

__all__ = ["Band", "Line", "draw_lines"]

# drawn in colours that no one would choose, then replaced by the page's variables
_VARIABLES = {
    "#010101": "--ink",
    "#020202": "--faint",
    "#030303": "--rule",
    "#a10101": "--line-1",
    "#a20202": "--line-2",
    "#a30303": "--line-3",
    "#a40404": "--line-4",
    "#a50505": "--line-5",
    "#a60606": "--line-6",
}
_INK, _FAINT, _RULE, *_LINES = _VARIABLES
_SIZE = (5.0, 3.1)  # inches of 72 px: readable when a telephone shrinks it to 340 px
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sdtune",
    "font.size": 11,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-5, 6),
    "axes.formatter.use_mathtext": False,
    "grid.color": _RULE,
    "grid.linewidth": 0.7,
    "xtick.color": _RULE,
    "ytick.color": _RULE,
    "xtick.labelcolor": _FAINT,
    "ytick.labelcolor": _FAINT,
    "text.color": _INK,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
}

_LEGEND = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": 3, "columnspacing": 1.2}


@dataclass(frozen=True)
class Line:
    """A curve as it is drawn.

    Attributes:
        curve: The curve; its name is the label in the legend, which a lone one does without.
        colour: Position in the page's row of colours, from 0; it begins anew after the last.
        faint: Whether the curve stays in the background, without a label.
        points: Whether each value is marked.
        errors: (low, high) around each value, if they are known.
    """

    curve: Curve
    colour: int = 0
    faint: bool = False
    points: bool = False
    errors: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Band:
    """A value to compare with, and its interval.

    Attributes:
        label: What it is.
        value: The value.
        low: Lower end of the interval.
        high: Upper end.
    """

    label: str
    value: float
    low: float
    high: float


def draw_lines(lines: Sequence[Line], *, alt: str, key: str, band: Band | None = None) -> Markup:
    """Draw curves over optimizer steps.

    Args:
        lines: What to draw, the background first.
        alt: What the picture shows, for those who do not see it.
        key: A word of the program's that no other plot of the page has, of letters, digits, `_`
            and `-`; ids are made of it.
        band: A value to compare with.

    Returns:
        An `<svg>` without any reference to the outside.

    Raises:
        ValueError: If `key` is no such word.
    """
    if not re.fullmatch(r"[A-Za-z][\w-]*", key, re.ASCII):
        raise ValueError(f"Expected `key` to be letters, digits, `_` and `-`, but got {key!r}.")
    with _axes() as (axes, finish):
        named = []
        for line in lines:
            drawn = _draw(axes, line)
            if line.curve.name and not line.faint:
                named.append((line.curve.name, drawn))
        if band is not None:
            axes.axhspan(band.low, band.high, color=_FAINT, alpha=0.14, linewidth=0)
            rule = axes.axhline(band.value, color=_FAINT, linewidth=1.2, dashes=(4, 3))
            named.append((band.label, rule))
        axes.set_xlabel("step", loc="right")
        if len(named) > 1:
            draw_legend(axes, named, **_LEGEND)
        return _inline(finish(), alt, key)


def _draw(axes: Axes, line: Line) -> Any:
    """Draw a line, and give what a legend names."""
    colour = _LINES[line.colour % len(_LINES)]
    steps, values = line.curve.steps, line.curve.values
    style: dict[str, Any]
    if line.errors:
        lows, highs = zip(*line.errors, strict=True)
        below = [max(0.0, value - low) for value, low in zip(values, lows, strict=True)]
        above = [max(0.0, high - value) for value, high in zip(values, highs, strict=True)]
        style = {"marker": "o", "markersize": 5, "capsize": 3, "elinewidth": 1.2}
        return axes.errorbar(steps, values, [below, above], color=colour, **style)
    marker = "o" if line.points or len(steps) == 1 else None
    style = {"alpha": 0.3, "linewidth": 1.0} if line.faint else {}
    return axes.plot(steps, values, color=colour, marker=marker, markersize=4.5, **style)[0]


@contextmanager
def _axes() -> Iterator[tuple[Axes, Callable[[], str]]]:
    # not pyplot: it keeps figures, and would choose a backend for the whole process
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE, layout="constrained")
        figure.patch.set_alpha(0.0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0.0)

        def finish() -> str:
            text = io.StringIO()
            metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
            FigureCanvasSVG(figure).print_svg(text, metadata=metadata)
            return text.getvalue()

        yield axes, finish


def _inline(svg: str, alt: str, key: str) -> Markup:
    """Make a file into an element: without prolog, with ids of its own and the page's colours."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    # tags alone: what stands between them are texts, which may look like any of it
    svg = re.sub(r"<[^>]*>", lambda tag: _of_the_page(tag[0], key), svg)
    size = re.compile(r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', re.DOTALL)
    # width and height are the page's to choose
    head = '<svg viewBox="{}" role="img" aria-label="{}">'
    return Markup(size.sub(lambda found: head.format(found[1], escape(alt)), svg, 1))


def _of_the_page(tag: str, key: str) -> str:
    tag = re.sub(r'(\sid="|href="#|url\(#)', lambda found: f"{found[0]}{key}-", tag)
    for colour, variable in _VARIABLES.items():
        tag = tag.replace(colour, f"var({variable})")
    return tag
