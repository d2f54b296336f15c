"""The plots of a run's page: losses, learning rates and metrics over its steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sdtune.report.plots import Band, Line, draw_lines
from sdtune.report.run import ReportedRun
from sdtune.run_folder.curves import Curve, running_mean

__all__ = ["Plot", "curve_plots", "metric_plots"]


@dataclass(frozen=True)
class Plot:
    """A plot with what stands around it."""

    heading: str
    svg: Markup
    note: str = ""


def curve_plots(run: ReportedRun) -> Iterator[Plot]:
    """Draw the losses and the learning rates, as far as they were logged."""
    losses = [run.curves[tag] for tag in ("train/loss", "val/loss") if tag in run.curves]
    if losses:
        yield Plot("Loss", _loss_plot(losses), _loss_note(losses))
    rates = [(tag, curve) for tag, curve in run.curves.items() if tag.startswith("lr-")]
    if rates:
        lines = [
            Line(Curve(_rate_name(tag), curve.steps, curve.values), colour)
            for colour, (tag, curve) in enumerate(rates)
        ]
        svg = draw_lines(lines, alt="Learning rate over steps", key="rate")
        yield Plot("Learning rate", svg)


def metric_plots(run: ReportedRun) -> Iterator[Plot]:
    """Draw each metric over the checkpoints, beside the base; from two checkpoints on."""
    if run.evaluation is None:
        return
    tuned = run.evaluation.tuned
    for number, (key, metric) in enumerate(run.evaluation.metrics.items()):
        points = [(each.step, each.figures[key]) for each in tuned if key in each.figures]
        if len(points) < 2:
            continue
        curve = Curve("tuned", [step for step, _ in points], [each.value for _, each in points])
        errors = [(figure.low, figure.high) for _, figure in points]
        base = run.untuned.figures.get(key) if run.untuned is not None else None
        band = Band("base", base.value, base.low, base.high) if base is not None else None
        alt = f"{metric.title} over steps, with 95 % intervals"
        # numbered: what a file calls them is no id
        svg = draw_lines([Line(curve, errors=errors)], alt=alt, key=f"metric-{number}", band=band)
        yield Plot(metric.title, svg)


def _loss_plot(losses: Sequence[Curve]) -> Markup:
    lines = []
    for colour, curve in enumerate(losses):
        if curve.name == "train/loss":
            smooth = running_mean(curve)
            lines.append(Line(curve, colour, faint=True))
            named = Curve("training, smoothed", smooth.steps, smooth.values)
            lines.append(Line(named, colour))
        else:
            named = Curve("held-out pictures", curve.steps, curve.values)
            lines.append(Line(named, colour, points=True))
    return draw_lines(lines, alt="Loss over steps", key="loss")


def _loss_note(losses: Sequence[Curve]) -> str:
    note = (
        "The training loss depends mostly on how much noise a step happened to draw, so it stays "
        "noisy and nearly flat even when the model learns well."
    )
    if any(curve.name == "val/loss" for curve in losses):
        note += (
            " The loss on held-out pictures is measured at noise that never changes: while it "
            "falls the model learns, and when it rises the model has begun to learn by heart."
        )
    lost = sum(not math.isfinite(value) for curve in losses for value in curve.values)
    if lost:
        note += f" At {lost} points the loss was not a finite number, and is not drawn."
    return note


def _rate_name(tag: str) -> str:
    # Lightning's `lr-AdamW/unet`; a lone group has no name
    return tag.partition("/")[2]
