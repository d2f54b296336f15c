"""The curves that a run wrote for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.run_folder.event_reading import EventReading
from sdtune.run_folder.layout import RunFolder

__all__ = ["Curve", "read_curves", "running_mean"]


@dataclass(frozen=True)
class Curve:
    """A scalar over a run.

    Attributes:
        name: What it is, such as `train/loss`.
        steps: Optimizer steps, rising.
        values: One for each step; may be nan.
        seconds: From the first point of any curve of the run to each point.
    """

    name: str
    steps: Sequence[int]
    values: Sequence[float]
    seconds: Sequence[float] = ()


def read_curves(
    folder: Path, problems: list[str] | None = None, *, within: Path | None = None
) -> dict[str, Curve]:
    """Read all scalars from a folder's event files.

    Of a run that was resumed, the points that the later start wrote anew are taken.

    Args:
        folder: A run folder.
        problems: Where it is told, a sentence each, which files could not be read to their ends.
        within: The folder that event files must lie in, links followed; None for anywhere.

    Returns:
        Tag -> curve; empty if there are no event files.
    """
    if not RunFolder(folder).has_curves:
        return {}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    reading = EventReading(folder, within)
    # 0 keeps every point; of pictures one is kept, for they are large
    guidance = {"scalars": 0, "images": 1, "tensors": 1, "histograms": 1}
    events = EventAccumulator(str(folder), size_guidance=guidance)
    events._generator = reading  # its own tells nobody where a file is damaged
    events.Reload()
    if problems is not None:
        problems += reading.problems
    points = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    start = min((each.wall_time for curve in points.values() for each in curve), default=0.0)
    return {
        tag: Curve(
            tag,
            [each.step for each in curve],
            [each.value for each in curve],
            [each.wall_time - start for each in curve],
        )
        for tag, curve in points.items()
    }


def running_mean(curve: Curve, share: float = 0.1) -> Curve:
    """Take at each point the mean of the finite points around it.

    Args:
        curve: A noisy curve.
        share: Width of the window as a share of all points; at least five points.

    Returns:
        A curve with the same steps; the window is cut off at the ends.
    """
    half = max(5, round(share * len(curve.values))) // 2
    means = []
    for position in range(len(curve.values)):
        near = curve.values[max(0, position - half) : position + half + 1]
        finite = [value for value in near if math.isfinite(value)]
        means.append(sum(finite) / len(finite) if finite else math.nan)
    return Curve(curve.name, curve.steps, means, curve.seconds)
