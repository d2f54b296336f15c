"""What the results come to: tables with intervals, a plot, and pictures side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.runs import RESULTS, SHEETS, WORK, run_name
from benchmarks.subject_front.scoring import SIDE
from benchmarks.subject_front.split import PROMPTS, SEEDS, SUBJECTS
from sdtune.metrics.intervals import Interval, Resamples, interval_of, resample

__all__ = [
    "MEASURES",
    "compared",
    "each_subject",
    "interval",
    "look",
    "plot",
    "results",
    "table",
    "told",
]

MEASURES: dict[str, tuple[str, int]] = {
    "placed": ("likeness", 2),
    "background": ("background right", 2),
    "clip_i": ("CLIP-I", 2),
    "clip_score": ("CLIP score", 1),
    "memorised_share": ("memorised", 2),
    "class_drift": ("class drift", 2),
    "other_drift": ("others' drift", 2),
}
"""Metric of the records -> its name for readers, and how many places are told."""

_MARKS = {
    "the base": ("s", "0.6"),
    "the recipe": ("o", "C0"),
    "without class pictures": ("o", "C2"),
    "beside class pictures, 200 steps": ("o", "C0"),
    "the subject itself": ("*", "C1"),
}
_ENDS = {"base": "the base", "own": "the subject itself, on the prompts' backgrounds"}


@lru_cache
def results(arm: str, subject: str, seed: int) -> dict[str, Any] | None:
    """Read the record of a run, None if it was not run; `base` and `own` are of no run."""
    name = f"base__{subject}" if arm in _ENDS else run_name(arm, subject, seed)
    path = RESULTS / f"{name}.json"
    if not path.exists():
        return None
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def values(
    arm: str, subject: str, metric: str, seeds: Sequence[int], step: int | None = None
) -> Tensor | None:
    """Read the values of one metric, their mean over the seeds of training that were run.

    Args:
        arm: An arm, `base` or `own`.
        subject: The subject.
        metric: One of `MEASURES`.
        seeds: Seeds of training.
        step: After which step; None is the last.

    Returns:
        A value per picture, prompts outside; None if there is none.
    """
    found = []
    for seed in seeds:
        record = results(arm, subject, seed)
        if record is not None:
            label = arm if arm in _ENDS else str(step or record["steps"])
            point = record["points"].get(label, {})
            if metric in point:
                found.append(torch.tensor(point[metric], dtype=torch.float64))
    return torch.stack(found).mean(dim=0) if found else None


def interval(own: Sequence[Tensor], others: Sequence[Tensor] | None = None) -> Interval:
    """Give the mean over subjects, or the mean difference, with its 95 % interval.

    Subjects, prompts and seeds of pictures are drawn again, whole and with replacement.

    Args:
        own: A value per picture of each subject.
        others: Those of another way, of the same subjects and pictures; None compares with none.
    """
    rows = torch.stack(list(own))  # (S, N)
    if others is not None:
        rows = rows - torch.stack(list(others))
    count, pictures = rows.shape
    prompts = [number for number in range(pictures // len(SEEDS)) for _ in SEEDS]
    drawn = resample(prompts, list(SEEDS) * (pictures // len(SEEDS)))
    subjects = (
        resample(list(range(count)), [0] * count, seed=1).weights
        if count > 1
        else torch.ones(len(drawn.weights), 1, dtype=torch.float64)
    )
    both = Resamples(torch.cat([drawn.weights, subjects], dim=1), max(2, min(count, drawn.levels)))

    def figure(weights: Tensor) -> Tensor:
        of_pictures, of_subjects = weights[:, :pictures], weights[:, pictures:]
        means = of_pictures @ rows.T / of_pictures.sum(dim=1, keepdim=True)  # (R, S)
        return (means * of_subjects).sum(dim=1) / of_subjects.sum(dim=1)

    return interval_of(figure, both)


def told(figure: Interval, places: int, signed: bool = False) -> str:
    """Write a figure with its interval."""
    sign = "+" if signed else ""
    value, low, high = (
        f"{each:{sign}.{places}f}" for each in (figure.value, figure.low, figure.high)
    )
    return f"{value} ({low} to {high})"


def table(
    arms: Sequence[str],
    subjects: Sequence[str],
    against: str = "base",
    seeds: Sequence[int] = (42,),
) -> list[str]:
    """Compare arms over subjects: each measure, and the paired difference from one of them.

    Args:
        arms: Their names; those that were not run on all of the subjects are left out.
        subjects: The subjects.
        against: The arm, or `base`, of which the differences are.
        seeds: Seeds of training.

    Returns:
        Lines of Markdown.
    """
    heads = [name for name, _ in MEASURES.values()]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for arm in ("base", "own", *arms):
        rows = {key: _rows(arm, subjects, key, seeds) for key in MEASURES}
        if rows["clip_i"] is None:
            continue
        cells = []
        for key, (_, places) in MEASURES.items():
            own, others = rows[key], _rows(against, subjects, key, seeds)
            if own is None:
                cells.append("")
                continue
            cell = told(interval(own), places)
            if others is not None and arm not in (against, "base", "own"):
                cell += f"<br>{told(interval(own, others), places, signed=True)}"
            cells.append(cell)
        lines.append(f"| {_title(arm)} | " + " | ".join(cells) + " |")
    return lines


def each_subject(
    arms: Sequence[str], subjects: Sequence[str], seeds: Sequence[int] = (42,)
) -> list[str]:
    """List, for each subject, likeness, share of backgrounds right, and CLIP-I."""
    lines = ["| | " + " | ".join(subjects) + " |", "|---" * (len(subjects) + 1) + "|"]
    for arm in ("base", "own", *arms):
        cells = []
        for subject in subjects:
            found = [values(arm, subject, key, seeds) for key in ("placed", "background", "clip_i")]
            cells.append(
                " / ".join("" if each is None else f"{each.mean():.2f}" for each in found)
                if found[0] is not None
                else ""
            )
        if any(cells):
            lines.append(f"| {_title(arm)} | " + " | ".join(cells) + " |")
    return lines


def compared(
    arms: Sequence[str], subjects: Sequence[str], seeds: Sequence[int] = (42,)
) -> list[str]:
    """Name the arms that were run on all of some subjects."""
    return [arm for arm in arms if _rows(arm, subjects, "clip_i", seeds) is not None]


def plot(groups: dict[str, dict[str, str]], path: Path, seeds: Sequence[int] = (42,)) -> None:
    """Draw the likeness of each subject, a panel for each group of arms.

    Args:
        groups: Title -> arms and their names there.
        path: The picture to write.
        seeds: Seeds of training.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * len(groups) + 0.6, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    places = list(range(len(SUBJECTS)))[::-1]
    for number, (title, arms) in enumerate(groups.items()):
        axes = figure.add_subplot(1, len(groups), number + 1)
        axes.set(title=title, xlabel="likeness", xlim=(0.1, 1.02))
        axes.set_yticks(places, SUBJECTS if number == 0 else [""] * len(places))
        axes.grid(axis="y", lw=0.4)
        for arm, name in {"base": "the base", **arms, "own": "the subject itself"}.items():
            found = [values(arm, subject, "placed", seeds) for subject in SUBJECTS]
            shown = [
                (float(each.mean()), place)
                for each, place in zip(found, places, strict=True)
                if each is not None
            ]
            mark, colour = _MARKS.get(name, ("o", "C3"))
            axes.plot(*zip(*shown, strict=True), mark, color=colour, ms=6, label=name, ls="")
    every = [
        label
        for each in figure.axes
        for label in zip(*each.get_legend_handles_labels(), strict=True)
    ]
    told = {label: handle for handle, label in every}
    figure.legend(told.values(), told.keys(), loc="outside lower center", ncols=6, fontsize=8)
    figure.savefig(path, dpi=110)


def look(arm: str, path: Path, subjects: Sequence[str] = tuple(SUBJECTS), seed: int = 42) -> None:
    """Put what an arm draws of each subject side by side: two photos, then each prompt once.

    Args:
        arm: The arm, or `base`.
        path: The picture to write.
        subjects: The subjects, a row each.
        seed: Seed of training.
    """
    columns = 2 + len(PROMPTS)
    sheet = Image.new("RGB", (columns * SIDE, len(subjects) * SIDE), "white")
    for row, subject in enumerate(subjects):
        photos = sorted((WORK / "pictures" / subject).glob("*.png"))
        for column, photo in enumerate((photos[0], photos[5])):
            small = Image.open(photo).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
            sheet.paste(small, (column * SIDE, row * SIDE))
        name = f"base__{subject}" if arm == "base" else run_name(arm, subject, seed)
        file = WORK / SHEETS / f"{name}.jpg"
        if file.exists():
            strip = Image.open(file).crop((0, 0, len(PROMPTS) * SIDE, SIDE))
            sheet.paste(strip, (2 * SIDE, row * SIDE))
    sheet.save(path, quality=85)


def _rows(
    arm: str, subjects: Sequence[str], metric: str, seeds: Sequence[int]
) -> list[Tensor] | None:
    found = [values(arm, subject, metric, seeds) for subject in subjects]
    return None if any(each is None for each in found) else [e for e in found if e is not None]


def _title(arm: str) -> str:
    if arm in _ENDS:
        return _ENDS[arm]
    technique = {"db": "DreamBooth", "ti": "Textual Inversion", "pt": "pivotal tuning"}
    return f"{technique[arm[:2]]}: {ARMS[arm].title or arm}"
