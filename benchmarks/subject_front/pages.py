"""The page of results: which arms are told beside which, and where."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.subject_front.arms import ARMS
from benchmarks.subject_front.report import compared, each_subject, look, plot, table
from benchmarks.subject_front.runs import RESULTS
from benchmarks.subject_front.split import SUBJECTS, Side, subjects_of

__all__ = ["write"]

_TECHNIQUES = {
    "db": ("DreamBooth", "db_script_1e-3"),
    "ti": ("Textual Inversion", "ti_script_5e-3"),
    "pt": ("Pivotal tuning", "pt_recipe"),
}
_SIDES: dict[Side, str] = {"held_out": "Held out", "tuning": "Tuning"}
_LOOKS = ("base", "db_script_1e-3", "db_recipe", "ti_recipe", "pt_recipe")


def write(seeds: Sequence[int]) -> None:
    """Write `report.md`, `front.png` and what arms draw, beside the results.

    Args:
        seeds: Seeds of training.
    """
    lines = ["# Results", ""]
    for side, title in _SIDES.items():
        subjects = subjects_of(side)
        for prefix, (technique, against) in _TECHNIQUES.items():
            arms = compared([arm for arm in ARMS if arm.startswith(prefix)], side, seeds)
            if not arms:
                continue
            told = f"Means over {', '.join(subjects)}; below each the paired difference from "
            told += f"{ARMS[against].title}."
            lines += [f"## {title}: {technique}", "", told, ""]
            lines += [*table(arms, subjects, against, seeds), ""]
    lines += ["## Each subject", "", "Likeness / share of backgrounds right / CLIP-I.", ""]
    lines += [*each_subject(list(ARMS), list(SUBJECTS), seeds), ""]
    (RESULTS / "report.md").write_text("\n".join(lines), encoding="utf-8")
    groups = {
        f"{technique}, {side.replace('_', ' ')}": compared(
            [arm for arm in ARMS if arm.startswith(prefix)], side, seeds
        )
        for side in ("held_out",)
        for prefix, (technique, _) in _TECHNIQUES.items()
    }
    plot(groups, subjects_of("held_out"), RESULTS / "front.png", seeds)
    for arm in _LOOKS:
        look(arm, RESULTS / f"look_{arm}.jpg")
