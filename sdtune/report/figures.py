"""The figures of an evaluation as a page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdtune.evaluation.rounding import difference_words, figure_words, places_of, verdict_words
from sdtune.metrics.registry import METRICS
from sdtune.report.table import Table
from sdtune.run_folder.layout import step_name
from sdtune.run_folder.record import Checkpoint, Evaluation, Figure

__all__ = [
    "MetricRow",
    "checkpoint_table",
    "metric_rows",
    "one_line_figures",
]


@dataclass(frozen=True)
class MetricRow:
    """A metric of the base and of a checkpoint.

    Attributes:
        title: The metric's name.
        direction: Which way is better, in words.
        meaning: What it means.
        limit: What it does not mean; may be empty.
        base: The base's figure and interval; empty if it was not measured.
        tuned: The checkpoint's.
        difference: Tuned less base and its interval; empty without a base.
        verdict: `better`, `worse`, `no difference seen`, or empty.
    """

    title: str
    direction: str
    meaning: str
    limit: str
    base: tuple[str, str]
    tuned: tuple[str, str]
    difference: tuple[str, str]
    verdict: str


def metric_rows(
    evaluation: Evaluation, base: Checkpoint | None, tuned: Checkpoint
) -> list[MetricRow]:
    """Word each metric of a checkpoint beside the base's.

    Args:
        evaluation: The record.
        base: The base's scores, if there are any.
        tuned: The checkpoint.

    Returns:
        A row for each metric that the checkpoint has, in the record's order.
    """
    rows = []
    for key, metric in evaluation.metrics.items():
        figure = tuned.figures.get(key)
        if figure is None:
            continue
        untuned = base.figures.get(key) if base is not None else None
        difference = tuned.against_base.get(key)
        places = places_of(key, [figure, untuned, difference])
        rows.append(
            MetricRow(
                metric.title,
                "higher is better" if metric.higher_is_better else "lower is better",
                metric.meaning,
                METRICS[key].limits if key in METRICS else "",  # else it was registered elsewhere
                figure_words(key, untuned, places),
                figure_words(key, figure, places),
                difference_words(key, difference, places),
                verdict_words(difference),
            )
        )
    return rows


def checkpoint_table(evaluation: Evaluation) -> Table:
    """Tabulate every metric of every checkpoint.

    Args:
        evaluation: The record.

    Returns:
        A row for each checkpoint.
    """
    keys = list(evaluation.metrics)
    checkpoints = evaluation.checkpoints
    labels = [step_name(each.label) for each in checkpoints]
    columns = one_line_figures(keys, checkpoints)
    titles = [evaluation.metrics[key].title for key in keys]
    rows = list(zip(labels, *columns, strict=True))
    return Table("Every checkpoint", ["checkpoint", *titles], rows)


def one_line_figures(
    keys: Sequence[str], checkpoints: Sequence[Checkpoint | None]
) -> list[list[str]]:
    """Write figures with their intervals, such as `28.1 (27.0 to 29.3)`.

    Args:
        keys: Metrics.
        checkpoints: Checkpoints, or None for what was not scored.

    Returns:
        For each metric, a text for each checkpoint; all of a metric have as many decimals.
    """
    columns = []
    for key in keys:
        figures = [each.figures.get(key) if each is not None else None for each in checkpoints]
        places = places_of(key, figures)
        columns.append([_one_line(key, figure, places) for figure in figures])
    return columns


def _one_line(key: str, figure: Figure | None, places: int) -> str:
    value, between = figure_words(key, figure, places)
    return f"{value} ({between})" if value else "not measured"
