"""`python -m benchmarks.style_front`: run what is left of the plan, or tell the results."""

from __future__ import annotations

import logging
from typing import Literal

import torch
from jsonargparse import auto_cli

from benchmarks.style_front.plan import COMPARED, PLAN
from benchmarks.style_front.report import is_seen, listing, plot, results, table, was_run
from benchmarks.style_front.runs import RESULTS, name_objects, run, score_base
from benchmarks.style_front.split import STYLES, styles_of
from benchmarks.style_front.step_cost import step_cost

__all__ = ["one", "report", "work"]


def work(side: Literal["tuning", "held_out"] = "tuning", at_most: int | None = None) -> None:
    """Do the runs of one side of the split that have no results yet, in the plan's order.

    Args:
        side: Which styles.
        at_most: How many; None for all.
    """
    torch.set_num_threads(1)
    for style in styles_of(side):
        score_base(style)
    done = 0
    for planned in PLAN[side]:
        if done != at_most:
            done += run(planned.arm, planned.style, planned.seed, **planned.points)


def one(arm: str, style: str, seed: int = 42, seeds: int = 2) -> None:
    """Do one run.

    Args:
        arm: Its name in `arms.py`.
        style: Its name in `split.py`.
        seed: Seed of the training.
        seeds: Seeds with which each prompt is drawn.
    """
    torch.set_num_threads(1)
    if style not in STYLES:
        raise ValueError(f"Expected `style` to be one of {sorted(STYLES)}, but got `{style}`.")
    score_base(style)
    run(arm, style, seed, seeds=seeds)


def report(side: Literal["tuning", "held_out"] = "held_out", seeds: int = 2) -> None:
    """Write the tables and the plot of what was run on all arms that are compared.

    Args:
        side: Which styles. Those that the style axis does not tell from the base's drawings do not
            count, and those on which the first two ways were not both run are left out.
        seeds: Seeds of each prompt that count.
    """
    name_objects()
    rows = COMPARED[side]
    first = {arm for arms, _ in list(rows.values())[:2] for arm in arms}
    styles = [style for style in styles_of(side) if is_seen(style) and was_run(first, style)]
    done = {
        title: ([arm for arm in arms if all(results(arm, each) for each in styles)], strengths)
        for title, (arms, strengths) in rows.items()
    }
    kept = {title: row for title, row in done.items() if row[0]}
    lost = sorted(
        {arm for title, (arms, _) in rows.items() for arm in arms if arm not in done[title][0]}
    )
    lines = [
        f"Styles: {', '.join(styles)}. Not run on all of them: {', '.join(lost) or 'none'}.",
        "",
    ]
    lines += table(kept, styles, next(iter(kept)), seeds, draw_styles=len(styles) > 2)
    lines += ["", *listing(kept, styles)]
    (RESULTS / f"{side}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plot(kept, styles, seeds, RESULTS / f"{side}.png")


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    auto_cli([work, one, report, step_cost])
