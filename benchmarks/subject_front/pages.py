"""The page of results: which arms are told beside which, and over which subjects."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.choice import choices
from benchmarks.subject_front.report import compared, each_subject, look, plot, results, table
from benchmarks.subject_front.runs import RESULTS
from benchmarks.subject_front.split import SUBJECTS, subjects_of

__all__ = ["UNSEEN", "write"]

UNSEEN: tuple[str, ...] = tuple(name for name, subject in SUBJECTS.items() if subject.made != "set")
"""Subjects that no recipe was tuned to: all but the two that ship."""

_TECHNIQUES = {
    "db": ("DreamBooth", "db_script_1e-3"),
    "ti": ("Textual Inversion", "ti_script_5e-3"),
    "pt": ("Pivotal tuning", "pt_no_prior"),
}
_OVER: dict[str, Sequence[str]] = {
    "Six subjects that no recipe was tuned to": UNSEEN,
    "The four that candidates were chosen on": subjects_of("tuning"),
}
_PANELS: dict[str, dict[str, str]] = {
    "DreamBooth": {"db_script_1e-3": "a script", "db_recipe": "the recipe"},
    "Textual Inversion": {"ti_script_5e-3": "a script", "ti_recipe": "the recipe"},
    "Pivotal tuning": {
        "pt_no_prior": "without class pictures",
        "pt_200": "beside class pictures, 200 steps",
    },
}
_LOOKS = (
    "base",
    "db_script_1e-3",
    "db_recipe",
    "ti_script_5e-3",
    "ti_recipe",
    "pt_no_prior",
    "pt_200",
)


def write(seeds: Sequence[int]) -> None:
    """Write `report.md`, `likeness.png` and what arms draw, beside the results.

    Args:
        seeds: Seeds of training.
    """
    lines = ["# Results", ""]
    for title, subjects in _OVER.items():
        told = f"Means over {', '.join(subjects)}, and their 95 % intervals; below each the paired"
        lines += [f"## {title}", "", f"{told} difference from the first of each table.", ""]
        for prefix, (technique, against) in _TECHNIQUES.items():
            arms = compared([arm for arm in ARMS if arm.startswith(prefix)], subjects, seeds)
            if arms:
                ordered = sorted(arms, key=lambda arm: arm != against)
                lines += [f"### {technique}", "", *table(ordered, subjects, against, seeds), ""]
    lines += ["## Each subject", "", "Likeness / share of backgrounds right / CLIP-I.", ""]
    lines += [*each_subject(list(ARMS), list(SUBJECTS), seeds), ""]
    told = (
        "The step that the recipes' rule takes of a run's thirds; likeness, copies; then the last."
    )
    lines += ["## The best checkpoint", "", told, ""]
    lines += [
        *choices(["db_recipe", "db_both_300", "ti_recipe", "pt_no_prior"], list(SUBJECTS)),
        "",
    ]
    (RESULTS / "report.md").write_text("\n".join(lines), encoding="utf-8")
    plot(_PANELS, RESULTS / "likeness.png", seeds)
    for arm in _LOOKS:
        shown = [name for name in SUBJECTS if results(arm, name, 42)]
        look(arm, RESULTS / f"look_{arm}.jpg", shown)
