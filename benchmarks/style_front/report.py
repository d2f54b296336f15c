"""What the results come to: tables with intervals, and the front as a plot."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.style_front.front import Curve, area, intervals, style_at
from benchmarks.style_front.runs import RESULTS
from benchmarks.style_front.split import PROMPTS, SEEDS, Side, styles_of
from sdtune.metrics.intervals import Interval

__all__ = ["Way", "curve", "is_seen", "listing", "plot", "results", "table", "told", "ways"]

_LEAST_ACCURACY = 0.75  # of the style axis: below it what it says of a style is no style

_MEASURES = {"area": area, "style at -10 % CLIP": style_at}


def results(arm: str, style: str, seed: int = 42) -> dict[str, Any] | None:
    """Read the record of a run, None if it was not run; `base` is the base."""
    name = f"base__{style}" if arm == "base" else f"{arm}__{style}__{seed}"
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def is_seen(style: str) -> bool:
    """Tell whether the style axis tells a style from the base's drawings."""
    base = results("base", style)
    return base is not None and base["accuracy_of_style_axis"] >= _LEAST_ACCURACY


def curve(arms: Sequence[str], style: str, strengths: Sequence[str], seeds: int) -> Curve:
    """Join the base and the points of one or more arms.

    Args:
        arms: Arms in the order of the line, such as the rates of one script.
        style: The style.
        strengths: Labels of their points, in the order of the line.
        seeds: How many seeds of each prompt are counted.
    """
    base = results("base", style)
    if base is None:
        raise ValueError(f"Expected results of the base on {style}, but there are none.")
    points = [base["points"]["base"]]
    for arm in arms:
        record = results(arm, style)
        if record is None:
            raise ValueError(f"Expected results of {arm} on {style}, but there are none.")
        points += [record["points"][each] for each in strengths if each in record["points"]]
    stacked = {
        name: torch.stack([_first(point[name], seeds) for point in points])
        for name in ("style", "clip")
    }
    return Curve(stacked["style"], stacked["clip"])


def listing(every: Sequence[Way]) -> list[str]:
    """List the points: style score, CLIP score, what of it is lost needlessly, objects named right.

    A style costs CLIP score even where nothing is lost, for the judge has never seen it: its own
    drawings of the same things score less than the base's. The third figure is how far a point
    lies below the straight line from the base to these.
    """
    styles = list(dict.fromkeys(style for way in every for style in way.styles))
    lines = ["| | " + " | ".join(styles) + " |", "|---" * (len(styles) + 1) + "|"]
    bases = {style: results("base", style) for style in styles}
    ends = {style: each["points"] for style, each in bases.items() if each}
    for kind, name in (("base", "base"), ("own", "the style's own drawings")):
        cells = [_cell(ends[style][kind], ends[style]) for style in styles]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for arm, strength in [(arm, f) for way in every for arm in way.arms for f in way.strengths]:
        records = {style: results(arm, style) for style in styles}
        points = {style: each and each["points"].get(strength) for style, each in records.items()}
        if any(points.values()):
            cells = [_cell(point, ends[style]) if point else "" for style, point in points.items()]
            lines.append(f"| {arm} x {strength} | " + " | ".join(cells) + " |")
    return lines


def told(figure: Interval) -> str:
    """Write a figure with its interval."""
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


@dataclass(frozen=True)
class Way:
    """A way to train, as far as it was run.

    Args:
        title: Its name for readers.
        arms: Arms whose points make its line, in order.
        strengths: Labels of the points of each.
        styles: Styles on which all of the arms were run.
    """

    title: str
    arms: Sequence[str]
    strengths: Sequence[str]
    styles: Sequence[str]

    def curves(self, styles: Sequence[str], seeds: int) -> list[Curve]:
        """Read its line on each of some styles."""
        return [curve(self.arms, style, self.strengths, seeds) for style in styles]


def ways(compared: Mapping[str, tuple[Sequence[str], Sequence[str]]], side: Side) -> list[Way]:
    """Find out what was run: of each way the styles of its most run arm, and the arms on all these.

    Args:
        compared: Title -> arms and strengths.
        side: Which styles; those that the style axis does not see do not count.
    """
    seen = [style for style in styles_of(side) if is_seen(style)]
    found = []
    for title, (arms, strengths) in compared.items():
        each = {arm: [style for style in seen if results(arm, style)] for arm in arms}
        styles = max(each.values(), key=len)
        done = [arm for arm in arms if set(styles) <= set(each[arm])]
        if styles:
            run = f"{title}: {', '.join(done)}" if len(arms) > 1 else title
            found.append(Way(run, done, strengths, styles))
    return found


def table(every: Sequence[Way], seeds: int) -> list[str]:
    """Compare ways to train, each with its measures and their differences from the first.

    Args:
        every: The ways.
        seeds: Seeds of each prompt that count.

    Returns:
        Lines of Markdown. Intervals are over prompts and seeds, and over styles from three on; the
        last of each measure is over prompts and seeds alone.
    """
    prompts = [number for number in range(len(PROMPTS)) for _ in range(seeds)]
    drawn = list(SEEDS[:seeds]) * len(PROMPTS)
    three = ("{}", "difference", "on just these styles")
    heads = ["styles", *(head.format(name) for name in _MEASURES for head in three)]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    first = every[0]
    for way in every:
        both = [style for style in way.styles if style in first.styles]
        own, others = way.curves(both, seeds), first.curves(both, seeds)
        over_styles = len(both) > 2
        cells = [", ".join(both)]
        for measure in _MEASURES.values():
            cells.append(told(intervals(measure, own, prompts, drawn, draw_styles=over_styles)))
            for draw_styles in (over_styles, False):
                less = intervals(measure, own, prompts, drawn, others, draw_styles)
                cells.append("" if way is first else told(less))
        lines.append(f"| {way.title} | " + " | ".join(cells) + " |")
    return lines


def plot(every: Sequence[Way], seeds: int, path: Path) -> None:
    """Draw the front on each style; a star is where the style's own drawings lie.

    Args:
        every: The ways.
        seeds: Seeds of each prompt that count.
        path: The picture to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    styles = list(dict.fromkeys(style for way in every for style in way.styles))
    figure = Figure(figsize=(3.6 * len(styles), 3.8))
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(styles), sharey=True, squeeze=False)[0]
    for axis, style in zip(axes, styles, strict=True):
        for number, way in enumerate(every):
            if style in way.styles:
                (line,) = way.curves([style], seeds)
                axis.plot(*_means(line), "o-", color=f"C{number}", markersize=4, label=way.title)
        base = results("base", style)
        assert base is not None
        own, start = base["points"]["own"], base["points"]["base"]
        gained = _mean(own["style"]) - _mean(start["style"])
        kept = 100 * _mean(own["clip"]) / _mean(start["clip"])
        axis.plot(gained, kept, "*", color="gray", markersize=12, label="the style's own drawings")
        axis.plot([0.0, gained], [100.0, kept], ":", color="gray")
        axis.set_title(style)
        axis.set_xlabel("style gained")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("CLIP score kept, %")
    labels = [axis.get_legend_handles_labels() for axis in axes]
    named = {
        label: line for lines, names in labels for line, label in zip(lines, names, strict=True)
    }
    axes[0].legend(list(named.values()), list(named), fontsize=7, loc="lower left")
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _means(line: Curve) -> tuple[list[float], list[float]]:
    style, clip = line.style.mean(dim=1), line.clip.mean(dim=1)
    return (style - style[0]).tolist(), (100 * clip / clip[0]).tolist()


def _cell(point: Any, ends: Any) -> str:
    style, clip = _mean(point["style"]), _mean(point["clip"])
    (from_style, from_clip), (to_style, to_clip) = (
        (_mean(ends[kind]["style"]), _mean(ends[kind]["clip"])) for kind in ("base", "own")
    )
    share = (style - from_style) / (to_style - from_style)
    needless = from_clip + share * (to_clip - from_clip) - clip
    named = f"{100 * _mean(point['named']):.0f}%" if "named" in point else "not named yet"
    return f"{style:.2f} / {clip:.1f} / {needless:+.1f} / {named}"


def _first(values: Sequence[float], seeds: int) -> torch.Tensor:
    """Take the first seeds of each prompt of what has prompts outside and seeds inside."""
    every = torch.tensor(values, dtype=torch.float64).reshape(len(PROMPTS), -1)
    if every.shape[1] < seeds:
        raise ValueError(f"Expected {seeds} seeds of each prompt, but got {every.shape[1]}.")
    return every[:, :seeds].flatten()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
