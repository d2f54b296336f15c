"""Which of a run's checkpoints the rule for the best one takes, and what that changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from benchmarks.subject_front.report import results
from benchmarks.subject_front.split import PROMPTS, SEEDS
from sdtune.evaluation.best import BestRule, choose_best
from sdtune.metrics.intervals import bootstrap_interval, paired_interval, verdict
from sdtune.run_folder.record import Checkpoint, Difference, Figure

__all__ = ["choices", "chosen"]

_RULE = BestRule("subject", max_clip_score_drop=0.7, max_memorised_share=0.5)  # of the recipes
_PROMPTS = [number for number in range(len(PROMPTS)) for _ in SEEDS]
_SEEDS = list(SEEDS) * len(PROMPTS)


def chosen(arm: str, subject: str, rule: BestRule = _RULE, seed: int = 42) -> str | None:
    """Name the step whose checkpoint is the best by a rule.

    Args:
        arm: An arm.
        subject: A subject.
        rule: The rule.
        seed: Seed of the training.

    Returns:
        The step; None if the run was not scored on its way, or the rule leaves out all.
    """
    record, base = results(arm, subject, seed), results("base", subject, seed)
    if record is None or base is None or len(record["points"]) < 2:
        return None
    before = base["points"]["base"]
    every = [
        _checkpoint(step, point, before)
        for step, point in sorted(record["points"].items(), key=lambda pair: int(pair[0]))
    ]
    best = choose_best(every, rule)
    return best.label if best else None


def choices(arms: Sequence[str], subjects: Sequence[str]) -> list[str]:
    """Tell, for each arm and subject, which step is chosen, and likeness and copies there and last.

    Returns:
        Lines of Markdown.
    """
    lines = [
        "| | " + " | ".join(subjects) + " |",
        "|---" * (len(subjects) + 1) + "|",
    ]
    for arm in arms:
        cells = []
        for subject in subjects:
            record, step = results(arm, subject, 42), chosen(arm, subject)
            if record is None or len(record["points"]) < 2:
                cells.append("")
                continue
            last = _shown(record["points"][str(record["steps"])])
            own = "none" if step is None else f"{step}: {_shown(record['points'][step])}"
            cells.append(f"{own}<br>{record['steps']}: {last}")
        if any(cells):
            lines.append(f"| `{arm}` | " + " | ".join(cells) + " |")
    return lines


def _shown(point: Mapping[str, list[float]]) -> str:
    likeness, copies = (sum(point[key]) / len(point[key]) for key in ("placed", "memorised_share"))
    return f"{likeness:.2f}, {copies:.0%}"


def _checkpoint(
    step: str, point: Mapping[str, list[float]], base: Mapping[str, list[float]]
) -> Checkpoint:
    figures, against = {}, {}
    for metric, higher in (("clip_i", True), ("clip_score", True), ("memorised_share", False)):
        own, before = (_tensor(each[metric]) for each in (point, base))
        found = bootstrap_interval(own, _PROMPTS, _SEEDS)
        figures[metric] = Figure(found.value, found.low, found.high, len(own))
        less = paired_interval(own, before, _PROMPTS, _SEEDS)
        told = verdict(less, higher)
        against[metric] = Difference(less.value, less.low, less.high, told)
    return Checkpoint(step, int(step), None, "samples", figures, against_base=against)


def _tensor(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
