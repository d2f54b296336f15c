"""The page of one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sdtune.report.address import address_from
from sdtune.report.data import bucket_table, data_sentence
from sdtune.report.facts import count_sentence, facts, nearest_sentence, notices, summary
from sdtune.report.figures import checkpoint_table, metric_rows
from sdtune.report.gallery import hard_and_easy, nearest_pairs, sliders, strips, tuned_name
from sdtune.report.page import write_page
from sdtune.report.run import ReportedRun, read_run
from sdtune.report.run_plots import curve_plots, metric_plots
from sdtune.report.usage import Snippet, describe_use
from sdtune.run_folder.layout import RunFolder, by_step, step_name

__all__ = ["curve_content", "report_content", "write_report"]


def write_report(folder: Path, path: Path | None = None) -> Path:
    """Write the page of a run, whatever of the run there is.

    Args:
        folder: A run folder, finished or not.
        path: Where the page goes; by default `report.html` in the run folder.

    Returns:
        Where it is.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    run = read_run(Path(folder))
    path = path or RunFolder(run.folder).report
    sheet = _contact_sheet(run, path)
    return write_page("run.html", path, contact_sheet=sheet, **report_content(run))


def _contact_sheet(run: ReportedRun, path: Path) -> str:
    """Give the address of the page of the training pictures, from the run's page; or nothing."""
    sheet = RunFolder(run.folder).contact_sheet
    return address_from(path, sheet) if sheet.is_file() else ""


def report_content(run: ReportedRun, training_pictures: bool = True) -> dict[str, Any]:
    """Say all that the page shows of a run.

    Args:
        run: The run.
        training_pictures: Whether to show those, which lie outside of the run's folder.

    Returns:
        What the template `run.html` needs, but for the address of the contact sheet.
    """
    return {**_pictures_and_figures(run, training_pictures), **curve_content(run)}


def curve_content(run: ReportedRun) -> dict[str, Any]:
    """Say what of that changes with each step that is logged.

    Args:
        run: The run.

    Returns:
        The part of `report_content` that is not of pictures and figures.
    """
    return {
        "run": run,
        "summary": summary(run),
        "notices": list(notices(run)),
        "curves": list(curve_plots(run)),
        "facts": list(facts(run)),
    }


def _pictures_and_figures(run: ReportedRun, training_pictures: bool) -> dict[str, Any]:
    shown, evaluation = run.shown, run.evaluation
    hard, easy = hard_and_easy(run) if training_pictures else ([], [])
    return {
        "title": run.recipe,
        "tuned_name": tuned_name(run),
        "sliders": list(sliders(run)),
        "best": evaluation.best if evaluation else None,
        "step_name": step_name,
        "shown_name": step_name(shown.label) if shown else "",
        "metrics": metric_rows(evaluation, run.untuned, shown) if evaluation and shown else [],
        "table": checkpoint_table(evaluation) if evaluation else None,
        "trends": list(metric_plots(run)),
        "snippets": _snippets(run),
        "strips": list(strips(run)),
        "data": data_sentence(run.survey) if run.survey else "",
        "buckets": bucket_table(run.survey.buckets) if run.survey else None,
        "nearest": nearest_sentence(shown) if shown else "",
        "pairs": list(nearest_pairs(run)) if training_pictures else [],
        "hard": hard,
        "easy": easy,
        "hard_note": count_sentence(run.picture_losses.values()),
    }


def _snippets(run: ReportedRun) -> list[Snippet]:
    shown, places = run.shown, RunFolder(run.folder)
    folders = [run.folder / shown.adapter] if shown is not None and shown.adapter else []
    if shown is not None and run.evaluation is not None:
        best = run.evaluation.best
        is_there = run.step_of_adapter(places.best_adapter) in (None, shown.step)
        if best is not None and best.label == shown.label and is_there:
            folders.insert(0, places.best_adapter)
    kept = reversed(by_step(places.adapter).values())
    for folder in (*folders, places.adapter, *kept):
        files = run.adapter_files(folder)
        if files:
            prompts = run.evaluation.protocol.prompts if run.evaluation is not None else []
            prompts = [*prompts, *(run.samples.prompts if run.samples is not None else [])]
            return describe_use(run.base, files, (prompts or ["a cat"])[0], run.recipe)
    return []
