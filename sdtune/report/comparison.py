"""Several runs side by side on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.report.address import address_from
from sdtune.report.facts import summary, told
from sdtune.report.figures import one_line_figures
from sdtune.report.gallery import Sliding, sliders, tuned_name
from sdtune.report.page import write_page
from sdtune.report.pictures import Embedded
from sdtune.report.plots import Line, draw_lines
from sdtune.report.run import ReportedRun, read_run
from sdtune.report.run_plots import Plot
from sdtune.report.table import Table
from sdtune.run_folder.curves import Curve, running_mean
from sdtune.run_folder.layout import RunFolder, step_name

__all__ = ["Illustration", "runs_table", "write_comparison"]

_PICTURES_SHOWN = 6


@dataclass(frozen=True)
class Illustration:
    """A picture that tells something of several runs.

    Args:
        title: What it shows.
        picture: The picture.
        note: Plain words below it.
    """

    title: str
    picture: Embedded
    note: str = ""


@dataclass(frozen=True)
class ComparisonRow:
    """A run on a page of several.

    Attributes:
        name: What it is called.
        summary: What was trained.
        verdict: The best checkpoint and why; or why none is named.
        tuned_name: Whose pictures are shown.
        pictures: The first few, beside the base's.
        report: Address of the run's own page, from this one; empty if there is none.
        problems: What of the run cannot be read, or not all of it, a sentence each.
    """

    name: str
    summary: str
    verdict: str
    tuned_name: str
    pictures: Sequence[Sliding]
    report: str
    problems: Sequence[str] = ()


def write_comparison(
    title: str,
    tables: Sequence[Table],
    runs: Sequence[Path],
    path: Path,
    *,
    names: Sequence[str] | None = None,
    note: str = "",
    illustrations: Sequence[Illustration] = (),
) -> Path:
    """Write a page with some tables and pictures, and a row for each run below them.

    Args:
        title: The page's title.
        tables: What the comparison found, in this order.
        runs: Run folders, finished or not.
        path: Where the page goes; an existing one is replaced.
        names: What the runs are called; None calls them by their folders, by as many parts of
            their paths as tell them from each other.
        note: Plain words below the title.
        illustrations: Pictures of all runs, below the tables.

    Returns:
        `path`.

    Raises:
        FileNotFoundError: If one of the folders does not exist; the message names all that do not.
    """
    read = _read_all(runs)
    names = names or _names([run.folder for run in read])
    rows = [_row(run, name, Path(path)) for run, name in zip(read, names, strict=True)]
    plots = list(_plots(read, names))
    return write_page(
        "comparison.html",
        path,
        title=title,
        note=note,
        tables=tables,
        illustrations=illustrations,
        rows=rows,
        plots=plots,
    )


def runs_table(runs: Sequence[Path]) -> Table:
    """Tabulate the figures of each run's best checkpoint, or of its last one if none is named.

    Args:
        runs: Run folders, finished or not.

    Returns:
        A row for each run; a column for each metric that any of them has.

    Raises:
        FileNotFoundError: As in `write_comparison`.
    """
    read = _read_all(runs)
    titles: dict[str, str] = {}
    for run in read:
        if run.evaluation is not None:
            titles |= {key: metric.title for key, metric in run.evaluation.metrics.items()}
    shown = [run.shown for run in read]
    columns = one_line_figures(list(titles), shown)
    checkpoints = [step_name(each.label) if each is not None else "not scored" for each in shown]
    return Table(
        "Figures",
        ["run", "checkpoint", *titles.values()],
        list(zip(_names([run.folder for run in read]), checkpoints, *columns, strict=True)),
        "In brackets the 95 % interval over prompts and seeds. Runs were scored on prompts of "
        "their own unless their recipes say the same.",
    )


def _read_all(folders: Sequence[Path]) -> list[ReportedRun]:
    missing = [str(folder) for folder in folders if not Path(folder).is_dir()]
    if missing:
        raise FileNotFoundError(
            f"Expected run folders, but there is nothing at {', '.join(missing)}."
        )
    return [read_run(Path(folder)) for folder in folders]


def _names(folders: Sequence[Path]) -> list[str]:
    """Shorten paths to the parts in which they differ, and one more for a lone folder."""
    parts = [folder.resolve().parts for folder in folders]
    shared = 0
    while all(len(each) > shared + 1 for each in parts) and (
        len({each[shared] for each in parts}) == 1
    ):
        shared += 1
    return ["/".join(each[shared:]) for each in parts]


def _row(run: ReportedRun, name: str, page: Path) -> ComparisonRow:
    best = run.evaluation.best if run.evaluation is not None else None
    if best is None:
        verdict = "Nothing was scored in this run."
    elif best.label is None:
        verdict = f"No checkpoint is named the best: {best.reason}"
    else:
        verdict = f"Best checkpoint: {step_name(best.label)}. {best.reason}"
    if not run.is_finished:
        verdict = f"This run is not finished. {verdict}"
    report = RunFolder(run.folder).report
    address = address_from(page, report) if report.is_file() else ""
    pictures = list(sliders(run))[:_PICTURES_SHOWN]
    shown = tuned_name(run)
    return ComparisonRow(name, summary(run), verdict, shown, pictures, address, told(run))


def _plots(runs: Sequence[ReportedRun], names: Sequence[str]) -> Iterator[Plot]:
    headings = {"train/loss": "Training loss, smoothed", "val/loss": "Loss on held-out pictures"}
    for tag, heading in headings.items():
        lines = []
        for colour, (run, name) in enumerate(zip(runs, names, strict=True)):
            curve = run.curves.get(tag)
            if curve is not None:
                smooth = running_mean(curve) if tag == "train/loss" else curve
                named = Curve(name, smooth.steps, smooth.values)
                lines.append(Line(named, colour, points=tag == "val/loss"))
        if lines:
            yield Plot(heading, draw_lines(lines, alt=heading, key=tag.replace("/", "-")))
