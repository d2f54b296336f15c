"""The results of a comparison as files: a page, Markdown with its pictures, and JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

from PIL import Image

import sdtune
from sdtune.comparison.figures import DrawnFigure
from sdtune.comparison.output_names import CONTENT, TEXT, figure_name
from sdtune.comparison.results import ComparedRun
from sdtune.comparison.settings import Comparison, TableSettings
from sdtune.comparison.tables import build_table, escaped, markdown, transposed
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.json_file import has_keys, write_json
from sdtune.files.new_file import closed_folder_problem, new_file_problem
from sdtune.report.comparison import Illustration, write_comparison
from sdtune.report.pictures import embed
from sdtune.report.table import Table
from sdtune.run_folder.layout import REPORT

__all__ = ["build_tables", "output_problems", "publish_problems", "write_markdown", "write_page"]

_VERSION = 1
_EVERY_METRIC = "All figures"
_FIGURE_SIDE = 2048  # pixels


def build_tables(comparison: Comparison, results: Sequence[ComparedRun]) -> list[Table]:
    """Build the tables that were asked for, and the one of every metric.

    Args:
        comparison: What was compared.
        results: Its runs.

    Returns:
        The tables.
    """
    asked = [build_table(each, results) for each in comparison.tables]
    return [*asked, transposed(build_table(TableSettings(_EVERY_METRIC), results))]


def publish_problems(folder: Path) -> Iterator[str]:
    """Say why the results of a comparison shall not be published into a folder.

    Args:
        folder: Where they would go.

    Yields:
        A sentence, unless the folder is new, empty, or holds the results of an earlier time.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not _holds_results(folder):
            yield _used("--publish", folder)
        elif problem := closed_folder_problem(folder):
            yield problem
    elif problem := new_file_problem(folder):
        yield problem


def output_problems(folder: Path) -> Iterator[str]:
    """Say why a comparison shall not be carried out in a folder, which may hold other runs.

    Args:
        folder: Where its runs and results would go.

    Yields:
        A sentence, if one of the files that it writes is there already and is not a comparison's.
    """
    if not folder.is_dir():
        if problem := new_file_problem(folder):
            yield problem
        return
    written = [folder / name for name in (TEXT, CONTENT, REPORT)]
    written += sorted(folder.glob(figure_name("*")))
    found = [each for each in written if each.exists() or each.is_symlink()]
    if found and not _holds_results(folder):
        yield _used("--output", found[0])
    elif problem := closed_folder_problem(folder):
        yield problem


def _used(option: str, found: Path) -> str:
    return (
        f"Expected `{option}` to name a new folder, or one that holds the {CONTENT} of an earlier "
        f"comparison, but `{found}` is there; name another."
    )


def _holds_results(folder: Path) -> bool:
    """Tell whether the files of a comparison's results in a folder are sdtune's own."""
    return has_keys(folder / CONTENT, {"version", "command", "comparison", "runs", "tables"})


def write_page(
    comparison: Comparison,
    results: Sequence[ComparedRun],
    tables: Sequence[Table],
    figures: Sequence[DrawnFigure],
    path: Path,
) -> Path:
    """Write the page that opens offline.

    Args:
        comparison: What was compared.
        results: Its runs; those that have no folder are left out.
        tables: Its tables.
        figures: Its pictures.
        path: Where the page goes.

    Returns:
        `path`.
    """
    shown = [each for each in results if each.folder.is_dir()]
    return write_comparison(
        comparison.title,
        tables,
        [each.folder for each in shown],
        path,
        names=[each.label for each in shown],
        note=" ".join(filter(None, [comparison.note, *(each.problem for each in figures)])),
        illustrations=list(_illustrations(figures)),
    )


def write_markdown(
    comparison: Comparison,
    results: Sequence[ComparedRun],
    tables: Sequence[Table],
    figures: Sequence[DrawnFigure],
    command: str,
    folder: Path,
) -> Path:
    """Write README.md with tables, pictures and how they came about, and comparison.json.

    Args:
        comparison: What was compared.
        results: Its runs.
        tables: Its tables.
        figures: Its pictures. One that could not be drawn is a sentence.
        command: The exact command, for a shell.
        folder: Where the files go; those of an earlier time are replaced.

    Returns:
        The path of README.md.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [f"# {escaped(comparison.title)}", escaped(comparison.note)]
    parts += [f"## {escaped(table.title)}\n\n{markdown(table).strip()}" for table in tables[:-1]]
    for number, figure in enumerate(figures, start=1):
        title, name = escaped(figure.settings.title), figure_name(number)
        if figure.png:
            with replaced_atomically(folder / name) as temporary:
                temporary.write_bytes(figure.png)
            parts.append(f"## {title}\n\n![{title}]({name})\n\n{escaped(figure.settings.note)}")
        elif figure.problem:
            parts.append(f"## {title}\n\n{escaped(figure.problem)}")
    parts.append(f"## {escaped(tables[-1].title)}\n\n{markdown(tables[-1]).strip()}")
    parts.append(_origin(results, command))
    path = folder / TEXT
    with replaced_atomically(path) as temporary:
        temporary.write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")
    write_json(folder / CONTENT, _content(comparison, results, tables, command))
    return path


def _illustrations(figures: Sequence[DrawnFigure]) -> Iterator[Illustration]:
    for figure in figures:
        if figure.png:
            with Image.open(BytesIO(figure.png)) as picture:
                embedded = embed(picture, _FIGURE_SIDE)
            yield Illustration(figure.settings.title, embedded, figure.settings.note)


def _origin(results: Sequence[ComparedRun], command: str) -> str:
    """Say how the results can be made again, and on what they were made."""
    known = [each.outcome.seconds for each in results if each.outcome.seconds is not None]
    minutes = f"{sum(known) / 60:.1f} minutes"
    if len(known) < len(results):
        minutes = f"{minutes} of {len(known)} of {len(results)} runs; of others it is not known"
    rows = [["processor", _processor()], ["devices of the runs", ", ".join(_devices(results))]]
    rows += [[name, version] for name, version in _versions(results).items()]
    rows += [["all runs", minutes]]
    starts = "\n".join(f"{each.outcome.command}" for each in results)
    table = markdown(Table("", ["", ""], rows)).strip()
    return (
        f"## How this was made\n\n```bash\n{command}\n```\n\n{table}\n\nThe runs, each started by "
        f"that command:\n\n```bash\n{starts}\n```"
    )


def _content(
    comparison: Comparison, results: Sequence[ComparedRun], tables: Sequence[Table], command: str
) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "command": command,
        "comparison": asdict(comparison),
        "machine": {"processor": _processor(), "devices": _devices(results)},
        "versions": _versions(results),
        "runs": [
            {
                **asdict(each.outcome),
                "steps": each.last.step if each.last else None,
                "base": _figures(each.base),
                "last": _figures(each.last),
                "loss": [value if isfinite(value) else None for value in each.losses],
            }
            for each in results
        ],
        "tables": [asdict(table) for table in tables],
    }


def _figures(checkpoint: Any) -> dict[str, Any]:
    if checkpoint is None:
        return {}
    names = ("label", "figures", "against_base")
    return {name: value for name, value in asdict(checkpoint).items() if name in names}


def _versions(results: Sequence[ComparedRun]) -> Mapping[str, str]:
    found = {"sdtune": sdtune.__version__, "python": platform.python_version()}
    for result in results:
        found.update(result.evaluation.run.versions if result.evaluation else {})
    return found


def _devices(results: Sequence[ComparedRun]) -> list[str]:
    return sorted({each.evaluation.run.device for each in results if each.evaluation})


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores"
