"""What the results come to: tables with intervals, and the front as a plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.style_front.front import Curve, area, intervals, style_at
from benchmarks.style_front.runs import RESULTS
from benchmarks.style_front.split import PROMPTS, SEEDS
from sdtune.metrics.intervals import Interval

__all__ = ["curve", "is_seen", "listing", "plot", "results", "table", "told", "was_run"]

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


def was_run(arms: Iterable[str], style: str) -> bool:
    """Tell whether there are results of all of these arms on a style."""
    return all(results(arm, style) is not None for arm in arms)


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


def listing(
    rows: dict[str, tuple[Sequence[str], Sequence[str]]], styles: Sequence[str]
) -> list[str]:
    """List the points: style score, CLIP score, what of it is lost needlessly, objects named right.

    A style costs CLIP score even where nothing is lost, for the judge has never seen it: its own
    drawings of the same things score less than the base's. The third figure is how far a point
    lies below the straight line from the base to these.
    """
    lines = ["| | " + " | ".join(styles) + " |", "|---" * (len(styles) + 1) + "|"]
    bases = {style: results("base", style) for style in styles}
    ends = {style: each["points"] for style, each in bases.items() if each}
    for kind, name in (("base", "base"), ("own", "the style's own drawings")):
        cells = [_cell(ends[style][kind], ends[style]) for style in styles]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    for arm, strength in [(arm, f) for arms, own in rows.values() for arm in arms for f in own]:
        records = {style: results(arm, style) for style in styles}
        points = {style: each and each["points"].get(strength) for style, each in records.items()}
        if any(points.values()):
            cells = [_cell(point, ends[style]) if point else "" for style, point in points.items()]
            lines.append(f"| {arm} x {strength} | " + " | ".join(cells) + " |")
    return lines


def told(figure: Interval) -> str:
    """Write a figure with its interval."""
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"


def table(
    rows: dict[str, tuple[Sequence[str], Sequence[str]]],
    styles: Sequence[str],
    against: str,
    seeds: int,
    draw_styles: bool,
) -> list[str]:
    """Compare ways to train, each with its measures and their differences from one of them.

    Args:
        rows: Title -> arms and the strengths of each that make the line.
        styles: Styles that the means are over.
        against: Title of the row that the others are compared with.
        seeds: Seeds of each prompt that count.
        draw_styles: Whether intervals are over styles too.

    Returns:
        Lines of Markdown.
    """
    prompts = [number for number in range(len(PROMPTS)) for _ in range(seeds)]
    drawn = list(SEEDS[:seeds]) * len(PROMPTS)
    curves = {
        title: [curve(arms, style, strengths, seeds) for style in styles]
        for title, (arms, strengths) in rows.items()
    }
    heads = [head for name in _MEASURES for head in (name, "difference")]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for title, own in curves.items():
        cells = []
        for measure in _MEASURES.values():
            cells.append(told(intervals(measure, own, prompts, drawn, draw_styles=draw_styles)))
            other = None if title == against else curves[against]
            difference = other and intervals(measure, own, prompts, drawn, other, draw_styles)
            cells.append(told(difference) if difference else "")
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def plot(
    rows: dict[str, tuple[Sequence[str], Sequence[str]]],
    styles: Sequence[str],
    seeds: int,
    path: Path,
) -> None:
    """Draw the front of each style, and the mean over styles, side by side.

    Args:
        rows: As in `table`.
        styles: The styles.
        seeds: Seeds of each prompt that count.
        path: The picture to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        1, len(styles) + 1, figsize=(3.1 * (len(styles) + 1), 3.4), sharey=True
    )
    means: dict[str, list[Curve]] = {title: [] for title in rows}
    for axis, style in zip(axes[1:], styles, strict=True):
        base = results("base", style)
        assert base is not None
        own = base["points"]["own"]
        level = _mean(base["points"]["base"]["clip"])
        gained = _mean(own["style"]) - _mean(base["points"]["base"]["style"])
        axis.plot(gained, 100 * _mean(own["clip"]) / level, "*", color="gray", markersize=10)
        for title, (arms, strengths) in rows.items():
            found = curve(arms, style, strengths, seeds)
            means[title].append(found)
            style_means, clip_means = found.style.mean(dim=1), found.clip.mean(dim=1)
            kept = 100 * clip_means / clip_means[0]
            axis.plot(style_means - style_means[0], kept, "o-", markersize=4, label=title)
        axis.set_title(style)
        axis.set_xlabel("style gained")
    for title, curves in means.items():
        length = min(each.style.shape[0] for each in curves)
        style_means = torch.stack([each.style.mean(dim=1)[:length] for each in curves])
        clip_means = torch.stack([each.clip.mean(dim=1)[:length] for each in curves])
        across = (style_means - style_means[:, :1]).mean(dim=0)
        kept = 100 * (clip_means / clip_means[:, :1]).mean(dim=0)
        axes[0].plot(across, kept, "o-", markersize=4, label=title)
    axes[0].set_title(f"mean of {len(styles)}")
    axes[0].set_xlabel("style gained")
    axes[0].set_ylabel("CLIP score kept, %")
    axes[0].set_ylim(20, 105)
    axes[0].legend(fontsize=7, loc="lower left")
    for axis in axes:
        axis.grid(alpha=0.3)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _cell(point: Any, ends: Any) -> str:
    style, clip = _mean(point["style"]), _mean(point["clip"])
    (from_style, from_clip), (to_style, to_clip) = (
        (_mean(ends[kind]["style"]), _mean(ends[kind]["clip"])) for kind in ("base", "own")
    )
    share = (style - from_style) / (to_style - from_style)
    needless = from_clip + share * (to_clip - from_clip) - clip
    named = f"{100 * _mean(point['named']):.0f}%"
    return f"{style:.2f} / {clip:.1f} / {needless:+.1f} / {named}"


def _first(values: Sequence[float], seeds: int) -> torch.Tensor:
    """Take the first seeds of each prompt of what has prompts outside and seeds inside."""
    every = torch.tensor(values, dtype=torch.float64).reshape(len(PROMPTS), -1)
    if every.shape[1] < seeds:
        raise ValueError(f"Expected {seeds} seeds of each prompt, but got {every.shape[1]}.")
    return every[:, :seeds].flatten()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
