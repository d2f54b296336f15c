"""Tables of a comparison, as text that a page or Markdown shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sdtune.comparison.measures import Measure, are_paired, best_runs, measure, unmeasured
from sdtune.comparison.results import ComparedRun, are_comparable
from sdtune.comparison.settings import TRAIN_LOSS, TableSettings
from sdtune.evaluation.rounding import difference_words, figure_words, places_of, verdict_words
from sdtune.report.table import Table
from sdtune.run_folder.layout import BASE_LABEL
from sdtune.run_folder.record import Figure

__all__ = ["build_table", "escaped", "markdown", "measured_metrics", "transposed"]

_NONE = "-"
_INTERVALS = "Figures have their 95 % intervals; ↑ more is better, ↓ less is better."
_DIFFERENCES = "Below them, the difference from the base, paired by prompt and seed."
_BEST = "★ the best run, and every other of which the difference from it may be 0:"
_BY_SAMPLES = "sample by sample, its 95 % interval holds 0"
_BY_INTERVALS = "where there are no samples to pair, the intervals of both overlap"
_NOT_COMPARED = (
    "These runs were not all scored in the same way, or not on the same pictures and base: figures "
    "of different runs say nothing of which is better, and none is starred."
)


@dataclass(frozen=True)
class _Base:
    """The base, as the prompts of some runs ask for it.

    Attributes:
        label: Its name in the table.
        run: One of those runs.
    """

    label: str
    run: str


def build_table(settings: TableSettings, results: Sequence[ComparedRun]) -> Table:
    """Build a table of runs.

    Args:
        settings: Which runs and metrics, and what a paper says.
        results: All runs of the comparison, failed ones included.

    Returns:
        The table: the base, if it was scored, then the runs.
    """
    names = settings.runs
    shown = [each for each in results if names is None or each.name in names]
    measures = _measures(settings, shown, results)
    places = {metric: _places(metric, each) for metric, each in measures.items()}
    rows = []
    if names is None or BASE_LABEL in names:
        for base in _bases(measures, shown):
            cells = [
                _figure(metric, each.base.get(base.run), places[metric])
                for metric, each in measures.items()
            ]
            if any(cell != _NONE for cell in cells):
                rows.append([base.label, "0", _NONE, *cells, *_paper(settings, BASE_LABEL)])
    best = {metric: best_runs(each) for metric, each in measures.items()}
    for result in shown:
        cells = [
            _cell(metric, each, result.name, best[metric], places[metric])
            for metric, each in measures.items()
        ] or [_NONE]
        rows.append([*_head(result, cells), *_paper(settings, result.name)])
    headings = [_heading(each) for each in measures.values()] or ["result"]
    columns = ["run", "steps", "minutes", *headings, *(["the paper"] if settings.paper else [])]
    notes = [settings.note, _order(settings, shown, measures), *_legend(measures, best)]
    notes += [] if are_comparable(shown) else [_NOT_COMPARED]
    notes += [each.apart or each.share for each in measures.values()]
    note = " ".join(each for each in notes if each)
    described = measures.values() if settings.metrics is None else ()
    meanings = [(each.description.title, each.description.meaning) for each in described]
    return Table(settings.title, columns, rows, note, meanings)


def _measures(
    settings: TableSettings, shown: Sequence[ComparedRun], results: Sequence[ComparedRun]
) -> dict[str, Measure]:
    """Collect the columns: what was asked for, measured or not, or else all that was measured."""
    if settings.metrics is not None:
        return {metric: measure(metric, shown) or unmeasured(metric) for metric in settings.metrics}
    found = {metric: measure(metric, shown) for metric in measured_metrics(results)}
    return {metric: each for metric, each in found.items() if each}


def measured_metrics(results: Sequence[ComparedRun]) -> list[str]:
    """List the metrics that runs have, in the order of their evaluations.

    Args:
        results: The runs.

    Returns:
        Keys of evaluation.json, then `train_loss` if it was logged.
    """
    metrics = {
        metric: None for each in results if each.evaluation for metric in each.evaluation.metrics
    }
    logged = any(each.loss for each in results)
    return [*metrics, *([TRAIN_LOSS] if logged else [])]


def transposed(table: Table) -> Table:
    """Turn a table on its side, for more columns than rows.

    Args:
        table: The table.

    Returns:
        The same with a column for each row.
    """
    columns, *rows = zip(table.columns, *table.rows, strict=True)
    return Table(table.title, columns, rows, table.note, table.meanings)


def markdown(table: Table) -> str:
    """Write a table in Markdown.

    Args:
        table: The table.

    Returns:
        Its rows, its note and its terms, without the title.
    """
    lines = [table.columns, ["---"] * len(table.columns), *table.rows]
    text = "\n".join(f"| {' | '.join(map(_cell_markdown, line))} |" for line in lines)
    terms = "\n".join(f"- **{escaped(term)}**: {escaped(words)}" for term, words in table.meanings)
    return "\n\n".join(part for part in (text, escaped(table.note), terms) if part) + "\n"


def _cell_markdown(text: str) -> str:
    return "<br>".join(escaped(line) for line in text.splitlines())


def _bases(measures: dict[str, Measure], shown: Sequence[ComparedRun]) -> list[_Base]:
    """Give the base one row, or one for each way in which runs' prompts name their subject."""
    kinds: dict[tuple[object, ...], list[ComparedRun]] = {}
    for result in shown:
        if result.evaluation:
            figures = tuple(each.base.get(result.name) for each in measures.values())
            kinds.setdefault(figures, []).append(result)
    if len(kinds) == 1:
        return [_Base(BASE_LABEL, group[0].name) for group in kinds.values()]
    return [
        _Base(f"{BASE_LABEL}, prompts of {', '.join(each.label for each in group)}", group[0].name)
        for group in kinds.values()
    ]


def _head(result: ComparedRun, cells: list[str]) -> list[str]:
    minutes = result.outcome.minutes
    if result.last:
        early = "\nstopped early" if result.outcome.status == "stopped" else ""
        return [result.label, f"{result.last.step}{early}", minutes, *cells]
    failed = [f"failed: {result.outcome.reason}", *cells[1:]]
    return [result.label, _NONE, minutes, *failed]


def _heading(of: Measure) -> str:
    return f"{of.description.title} {'↑' if of.description.higher_is_better else '↓'}"


def _places(metric: str, of: Measure) -> int:
    """Choose the decimals of a whole column."""
    return places_of(metric, [*of.figures.values(), *of.base.values(), *of.differences.values()])


def _cell(metric: str, of: Measure, run: str, best: Sequence[str], places: int) -> str:
    """Write a run's figure and, in a line of its own, its difference from the base."""
    text = _figure(metric, of.figures.get(run), places)
    if run in best and len(of.figures) > 1:
        text = f"★ {text}"
    difference = of.differences.get(run)
    if difference is None:
        return text
    value, between = difference_words(metric, difference, places)
    verdict = verdict_words(difference)
    return f"{text}\n{value} ({between})" + (f", {verdict}" if verdict else "")


def _figure(metric: str, figure: Figure | None, places: int) -> str:
    value, between = figure_words(metric, figure, places)
    return f"{value} ({between})" if value else _NONE


def _paper(settings: TableSettings, name: str) -> list[str]:
    if not settings.paper:
        return []
    return [f"{settings.paper[name]:g}" if name in settings.paper else _NONE]


def _legend(measures: dict[str, Measure], best: dict[str, list[str]]) -> list[str]:
    """Explain the signs that a table has."""
    legend = [_INTERVALS] if any(each.figures for each in measures.values()) else []
    legend += [_DIFFERENCES] if any(each.differences for each in measures.values()) else []
    pairs = {
        are_paired(each, name, best[metric][0])
        for metric, each in measures.items()
        if best[metric]
        for name in each.figures
        if name != best[metric][0]
    }
    if not pairs:
        return legend
    ways = [_BY_SAMPLES] if True in pairs else []
    ways += [_BY_INTERVALS] if False in pairs else []
    return [*legend, f"{_BEST} {'; '.join(ways)}."]


def _order(
    settings: TableSettings, shown: Sequence[ComparedRun], measures: dict[str, Measure]
) -> str:
    """Say whether the paper's figures come in the same order."""
    if not settings.paper or len(measures) != 1:
        return ""
    [of] = measures.values()
    if not of.comparable:
        return ""
    labels = {each.name: each.label for each in shown} | {BASE_LABEL: BASE_LABEL}
    ours = {name: figure.value for name, figure in of.figures.items()}
    if of.base:
        ours[BASE_LABEL] = next(iter(of.base.values())).value
    common = [name for name in settings.paper if name in ours]
    if len(common) < 2:
        return ""
    here, there = (sorted(common, key=lambda each: by[each]) for by in (ours, settings.paper))
    words = [", ".join(labels[name] for name in names) for names in (here, there)]
    same = "the same" if here == there else words[1]
    return f"From low to high here: {words[0]}; in the paper: {same}."


def escaped(text: str) -> str:
    """Write plain words in Markdown.

    Args:
        text: Words that may hold `<erica>`, which would be taken for a tag.

    Returns:
        One line.
    """
    line = text.strip().replace("\n", " ")
    # a backslash before one of these would be taken for what escapes it
    return re.sub(r"\\(?=[\\|<])|[|<]", lambda sign: f"\\{sign[0]}", line)
