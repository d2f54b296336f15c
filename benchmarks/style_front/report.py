"""What the results come to: tables with intervals, and the front as a plot."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.style_front.front import (
    Curve,
    Pictures,
    area,
    intervals,
    same_style_interval,
    style_at,
)
from benchmarks.style_front.runs import RESULTS
from benchmarks.style_front.split import PROMPTS, SEEDS, Side, styles_of
from sdtune.metrics.intervals import Interval

__all__ = [
    "Way",
    "by_style",
    "curve",
    "is_seen",
    "listing",
    "plot",
    "results",
    "table",
    "told",
    "ways",
]

_COLUMNS = 5  # of the plot
_LEAST_ACCURACY = 0.75  # of the style axis: below it what it says of a style is no style

# Title -> the measure, and what of the content it counts.
_MEASURES: Mapping[str, tuple[Callable[..., torch.Tensor], str]] = {
    "area": (area, "clip"),
    "style at -10 % CLIP": (style_at, "clip"),
    "area of objects": (area, "named"),
}


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


def curve(
    arms: Sequence[str],
    style: str,
    strengths: Sequence[str],
    trainings: Sequence[int] = (42,),
    seeds: int = len(SEEDS),
    content: str = "clip",
) -> Curve:
    """Join the base and the points of one or more arms.

    Args:
        arms: Arms in the order of the line, such as the rates of one script.
        style: The style.
        strengths: Labels of their points, in the order of the line.
        trainings: Seeds of the trainings whose pictures are counted.
        seeds: How many seeds of each prompt are counted.
        content: `clip`, or `named` for the objects that are named right.
    """
    base = results("base", style)
    if base is None:
        raise ValueError(f"Expected results of the base on {style}, but there are none.")
    points = [[base["points"]["base"]] * len(trainings)]
    for arm in arms:
        records = [results(arm, style, training) for training in trainings]
        if not all(records):
            raise ValueError(f"Expected {arm} on {style} of trainings {list(trainings)}.")
        points += [[each["points"][label] for each in records if each] for label in strengths]
    stacked = {
        name: torch.stack([torch.cat([_first(each[name], seeds) for each in p]) for p in points])
        for name in ("style", content)
    }
    return Curve(stacked["style"], stacked[content])


def listing(every: Sequence[Way], seeds: int) -> list[str]:
    """List the points: style score, CLIP score, what of it is lost needlessly, objects named right.

    A style costs CLIP score even where nothing is lost, for the judge has never seen it: its own
    drawings of the same things score less than the base's. The third figure is how far a point
    lies below the straight line from the base to these.

    Args:
        every: The ways.
        seeds: Seeds of each prompt that count.
    """
    styles = list(dict.fromkeys(style for way in every for style in way.styles))
    lines = ["| | " + " | ".join(styles) + " |", "|---" * (len(styles) + 1) + "|"]
    bases = {style: results("base", style) for style in styles}
    ends = {style: each["points"] for style, each in bases.items() if each}
    for kind, name in (("base", "base"), ("own", "the style's own drawings")):
        cells = [_cell(ends[style][kind], ends[style]) for style in styles]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for way in every:
        for arm, strength in [(arm, each) for arm in way.arms for each in way.strengths]:
            cells = [
                _cell(_pooled(arm, style, strength, way.trainings, seeds), ends[style])
                if style in way.styles
                else ""
                for style in styles
            ]
            lines.append(f"| {arm} x {strength} | " + " | ".join(cells) + " |")
    return lines


def _pooled(
    arm: str, style: str, strength: str, trainings: Sequence[int], seeds: int
) -> dict[str, list[float]]:
    """Put the pictures of several trainings together."""
    records = [results(arm, style, training) for training in trainings]
    points = [record["points"][strength] for record in records if record]
    return {
        name: torch.cat([_first(point[name], seeds) for point in points]).tolist()
        for name in ("style", "clip", "named")
    }


def told(figure: Interval, times: float = 1.0) -> str:
    """Write a figure, or some times of it, with its interval."""
    value, low, high = (times * each for each in (figure.value, figure.low, figure.high))
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class Way:
    """A way to train, as far as it was run.

    Args:
        title: Its name for readers.
        arms: Arms whose points make its line, in order.
        strengths: Labels of the points of each.
        trainings: Seeds of the trainings that count.
        styles: Styles on which all of the arms were run with all of these.
    """

    title: str
    arms: Sequence[str]
    strengths: Sequence[str]
    trainings: Sequence[int]
    styles: Sequence[str]

    def curves(self, styles: Sequence[str], seeds: int, content: str = "clip") -> list[Curve]:
        """Read its line on each of some styles."""
        line = (self.strengths, self.trainings, seeds, content)
        return [curve(self.arms, style, *line) for style in styles]


def ways(
    compared: Mapping[str, tuple[Sequence[str], Sequence[str]]],
    side: Side,
    trainings: Sequence[int],
    seeds: int,
) -> list[Way]:
    """Find out on which styles each way was run, with all its arms and trainings.

    Args:
        compared: Title -> arms and strengths.
        side: Which styles; those that the style axis does not see do not count.
        trainings: Seeds of the trainings.
        seeds: Seeds of each prompt that count.
    """
    seen = [style for style in styles_of(side) if is_seen(style)]
    found = []
    for title, (arms, strengths) in compared.items():
        runs = [(arm, training) for arm in arms for training in trainings]
        styles = [
            style
            for style in seen
            if all(_has(results(arm, style, n), strengths, seeds) for arm, n in runs)
        ]
        if styles:
            found.append(Way(title, arms, strengths, trainings, styles))
    return found


def _has(record: dict[str, Any] | None, strengths: Sequence[str], seeds: int) -> bool:
    points = record["points"] if record else {}
    count = len(PROMPTS) * seeds
    return all(len(points.get(each, {}).get("clip", ())) >= count for each in strengths)


def table(every: Sequence[Way], seeds: int) -> list[str]:
    """Compare ways to train, each with its measures and their differences from the first.

    Args:
        every: The ways.
        seeds: Seeds of each prompt that count.

    Returns:
        Lines of Markdown. Intervals are over prompts, seeds and trainings, and over styles from
        three on; the last of each measure is without styles.
    """
    three = ("{}", "difference", "on just these styles")
    heads = ["styles", *(head.format(name) for name in _MEASURES for head in three)]
    heads += ["CLIP score kept at the same style, %", "on just these styles"]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    first = every[0]
    for way in every:
        both = [style for style in way.styles if style in first.styles]
        pictures = _pictures(way.trainings, seeds)
        over_styles = len(both) > 2
        cells = [f"{len(both)}"]
        for measure, content in _MEASURES.values():
            own, others = (each.curves(both, seeds, content) for each in (way, first))
            cells.append(told(intervals(measure, own, pictures, draw_styles=over_styles)))
            for draw_styles in (over_styles, False):
                less = intervals(measure, own, pictures, others, draw_styles)
                cells.append("" if way is first else told(less))
        own, others = (each.curves(both, seeds) for each in (way, first))
        for draw_styles in (over_styles, False):
            less = same_style_interval(own, others, pictures, draw_styles)
            cells.append("" if way is first else told(less, 100.0))
        lines.append(f"| {way.title} | " + " | ".join(cells) + " |")
    return lines


def by_style(every: Sequence[Way], seeds: int) -> list[str]:
    """Give, of each style, how much more of each measure every other way has than the first.

    Args:
        every: The ways.
        seeds: Seeds of each prompt that count.
    """
    first = every[0]
    heads = [f"{way.title}: {name}" for way in every[1:] for name in _MEASURES]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for style in first.styles:
        cells = []
        for way in every[1:]:
            for measure, content in _MEASURES.values():
                if style not in way.styles:
                    cells.append("")
                    continue
                own, others = (each.curves([style], seeds, content) for each in (way, first))
                pictures = _pictures(way.trainings, seeds)
                cells.append(told(intervals(measure, own, pictures, others, draw_styles=False)))
        lines.append(f"| {style} | " + " | ".join(cells) + " |")
    return lines


def _pictures(trainings: Sequence[int], seeds: int) -> Pictures:
    every = [(t, p, s) for t in trainings for p in range(len(PROMPTS)) for s in SEEDS[:seeds]]
    of_training, prompts, drawn = zip(*every, strict=True)
    return Pictures(prompts, drawn, of_training)


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
    columns = min(_COLUMNS, len(styles))
    rows = math.ceil(len(styles) / columns)
    figure = Figure(figsize=(3.4 * columns, 3.2 * rows))
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten().tolist()
    axes = grid[: len(styles)]
    for axis in grid[len(styles) :]:
        axis.remove()
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
    for axis in axes[::columns]:
        axis.set_ylabel("CLIP score kept, %")
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
