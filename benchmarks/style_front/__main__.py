"""`python -m benchmarks.style_front`: run what is left of the plan, or tell the results."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import Literal

from jsonargparse import auto_cli

from benchmarks.style_front.jobs import run_all
from benchmarks.style_front.plan import COMPARED, PLAN, SHOWN, Planned
from benchmarks.style_front.report import by_style, listing, plot, table, ways
from benchmarks.style_front.runs import RESULTS, name_objects
from benchmarks.style_front.split import STYLES
from benchmarks.style_front.step_cost import step_cost

__all__ = ["one", "report", "work"]


def work(
    side: Literal["tuning", "held_out", "both"] = "tuning",
    at_most: int | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    jobs: int = 1,
    deadline: float | None = None,
) -> None:
    """Do the runs of one side of the split that have no results yet, in the plan's order.

    Args:
        side: Which styles.
        at_most: How many; None for all.
        device: Where.
        jobs: Processes, each of which does one run at a time.
        deadline: Seconds from now after which no run should still be going; None for none.
    """
    end = None if deadline is None else time.time() + deadline
    run_all(PLAN[side], device, jobs, end, at_most)


def one(
    arm: str, style: str, seed: int = 42, seeds: int = 2, device: Literal["cpu", "cuda"] = "cpu"
) -> None:
    """Do one run.

    Args:
        arm: Its name in `arms.py`.
        style: Its name in `split.py`.
        seed: Seed of the training.
        seeds: Seeds with which each prompt is drawn.
        device: Where.
    """
    if style not in STYLES:
        raise ValueError(f"Expected `style` to be one of {sorted(STYLES)}, but got `{style}`.")
    run_all([Planned(arm, style, seed, {"seeds": seeds})], device)


def report(
    side: Literal["tuning", "held_out"] = "held_out",
    trainings: tuple[int, ...] = (42, 43),
    seeds: int = 4,
) -> None:
    """Write the tables and the plot of all that was run of what is compared.

    Args:
        side: Which styles. Those that the style axis does not tell from the base's do not count.
        trainings: Seeds of the trainings that count.
        seeds: Seeds of each prompt that count.
    """
    name_objects()
    every = ways(COMPARED[side], side, trainings, seeds)
    parts = (table(every, seeds), by_style(every, seeds), listing(every, seeds))
    lines = [line for part in parts for line in ("", *part)][1:]
    (RESULTS / f"{side}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(every, seeds, RESULTS / f"{side}.png")
    if side == "held_out":
        by_title = {way.title: way for way in every}
        shown = [replace(by_title[title], title=name) for title, name in SHOWN.items()]
        plot(shown, seeds, RESULTS / "front.png")


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    auto_cli([work, one, report, step_cost])
