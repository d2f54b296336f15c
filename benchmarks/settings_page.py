"""Put the results of benchmarks/settings into docs/settings.md: tables, plots and grids.

sdtune compare benchmarks/settings/style.yaml --publish runs/settings/style
sdtune compare benchmarks/settings/subject.yaml --publish runs/settings/subject
python benchmarks/settings_page.py runs/settings
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from sdtune.comparison.tables import markdown
from sdtune.report.table import Table

__all__ = ["PAGE", "RESULTS", "read_results", "write_page", "written"]

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "settings"
PAGE = ROOT / "docs" / "settings.md"

_MARK = re.compile(r"(<!-- (\w+): ([^>]+) -->\n).*?(?=\n<!-- end -->)", re.DOTALL)
_IMAGES = ROOT / "docs" / "images"
_GRIDS = {
    "settings_rates": ("style", "figure_1.png"),
    "settings_vectors": ("subject", "figure_1.png"),
    "settings_class_pictures": ("subject", "figure_2.png"),
}
_PLOTTED = {
    "style": ("style_score", "clip_score", "clip_i"),
    "subject": ("clip_i", "clip_score", "class_drift"),
}
_TITLES = {
    "style_score": "style score",
    "clip_score": "CLIP score",
    "clip_i": "CLIP-I",
    "class_drift": "class drift",
}


def read_results(name: str) -> dict[str, Any]:
    """Read what a comparison came to.

    Args:
        name: `style` or `subject`.
    """
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def written(text: str) -> str:
    """Put every table where the page has its mark, `<!-- style: Rank -->`.

    Args:
        text: The page.

    Returns:
        The page with the tables of the results.
    """
    return _MARK.sub(lambda found: f"{found[1]}\n{_table(found[2], found[3])}", text)


def _table(name: str, title: str) -> str:
    """Write one table without the columns of time, which a shared machine makes mean little."""
    tables = {each["title"]: each for each in read_results(name)["tables"]}
    columns, rows = tables[title]["columns"], tables[title]["rows"]
    kept = [number for number, column in enumerate(columns) if column not in ("minutes",)]
    few = [[row[number] for number in kept] for row in rows]
    return f"{markdown(Table('', [columns[number] for number in kept], few)).strip()}\n"


def write_page(published: Path) -> None:
    """Take results over, and write the page's tables and pictures.

    Args:
        published: Folder with what each comparison published: `style` and `subject`.
    """
    for name in _PLOTTED:
        shutil.copy(published / name / "comparison.json", RESULTS / f"{name}.json")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    _IMAGES.mkdir(exist_ok=True)
    for name, (results, figure) in _GRIDS.items():
        with Image.open(published / results / figure) as grid:
            picture = grid.convert("RGB")
        picture.thumbnail((1000, 10_000), Image.Resampling.LANCZOS)
        picture.save(_IMAGES / f"{name}.jpg", quality=82, optimize=True)
    for name in _PLOTTED:
        _plot(name)


def _plot(name: str) -> None:
    """Draw every run's figures with their intervals, and the base's as a line."""
    from matplotlib.figure import Figure

    content = read_results(name)
    runs = content["runs"]
    labels = [content["comparison"]["runs"][each["name"]]["label"] for each in runs]
    metrics = _PLOTTED[name]
    height = 1.0 + 0.32 * len(runs)
    figure = Figure(figsize=(8.2, height), dpi=110, layout="constrained")
    for number, metric in enumerate(metrics):
        axes = figure.add_subplot(1, len(metrics), number + 1)
        for row, low, value, high in _bars(runs, metric):
            ends = [[value - low], [high - value]]
            axes.errorbar(value, row, xerr=ends, fmt="o", capsize=3, color="tab:blue")
        base = runs[0]["base"]["figures"].get(metric)
        if base is not None and name == "style":  # of a subject, each way has prompts of its own
            axes.axvline(base["value"], color="grey", linewidth=1, linestyle="--")
        axes.set_yticks(range(len(runs)), labels if number == 0 else [""] * len(runs))
        axes.margins(y=0.1)
        axes.invert_yaxis()
        axes.set_title(_TITLES[metric], fontsize=10)
        axes.grid(axis="x", alpha=0.25)
    figure.savefig(_IMAGES / f"settings_{name}.webp", format="webp")


def _bars(runs: Sequence[dict[str, Any]], metric: str) -> Iterator[tuple[int, float, float, float]]:
    for row, each in enumerate(runs):
        figure = each["last"].get("figures", {}).get(metric)
        if figure is not None:
            yield row, figure["low"], figure["value"], figure["high"]


if __name__ == "__main__":
    write_page(Path(sys.argv[1]))
