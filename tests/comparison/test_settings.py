import math
from datetime import date

import pytest

from sdtune._checks import ArgumentsError
from sdtune.comparison.settings import Comparison, FigureSettings, TableSettings, Variant

RUNS = {"adamw": Variant("toy.yaml", label="AdamW")}


def problems(**changes) -> list[str]:
    with pytest.raises(ArgumentsError) as caught:
        Comparison(**{"title": "Toys", "runs": RUNS, **changes})
    return caught.value.problems


def test_a_run_is_named_by_its_label():
    comparison = Comparison("Toys", RUNS)
    assert comparison.label("adamw") == "AdamW"
    assert comparison.label("base") == "base"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"runs": {}}, "Expected `runs` to name at least one run, but got none."),
        ({"runs": {"../a": RUNS["adamw"]}}, "other than `base`, but got `../a`."),
        ({"runs": {"base": RUNS["adamw"]}}, "other than `base`, but got `base`."),
        ({"runs": {"README.md": RUNS["adamw"]}}, "a comparison writes itself, `README.md`, "),
        ({"budget_steps": 2, "budget_minutes": 1.0}, "but got both."),
        ({"budget_steps": 0}, "Expected `budget_steps` to be a positive integer, but got 0."),
        ({"budget_minutes": -1.0}, "`budget_minutes` to be a positive number, but got -1.0."),
        ({"tables": [TableSettings("T", runs=["sgd"])]}, "but got `sgd`; there are `adamw`"),
        ({"tables": [TableSettings("T", paper={"adamw": 1.0})]}, "to have one metric"),
        ({"figures": [FigureSettings("F", "loss_curves", ["base"])]}, "but got `base`; there are"),
        ({"overrides": {"model.alpha": math.nan}}, "`model.alpha` of `overrides` to be made of"),
        (
            {"runs": {"a": Variant("toy.yaml", overrides={"data.trigger": date(2026, 1, 2)})}},
            "`data.trigger` of `runs.a.overrides` to be made of finite numbers, texts",
        ),
        ({"evaluation": {"seeds": [math.inf]}}, "Expected `seeds` of `evaluation` to be made of"),
        ({"budget_minutes": math.inf}, "`budget_minutes` to be a positive number, but got inf."),
        ({"tables": [TableSettings("T", [])]}, "`metrics` of the table `T` to name something"),
        ({"tables": [TableSettings("T", runs=[])]}, "`runs` of the table `T` to name something"),
        (
            {"tables": [TableSettings("T", ["dino"], ["adamw"], paper={"base": 1.0})]},
            "Expected `paper` of the table `T` to name some of its `runs`, but got `base`",
        ),
        ({"figures": [FigureSettings("F", "samples", [])]}, "`runs` of the figure `F` to name"),
        (
            {"figures": [FigureSettings("F", "samples", prompts=[])]},
            "`prompts` of the figure `F` to name something, but got []; without it, all are.",
        ),
        (
            {"figures": [FigureSettings("F", "samples", prompts=[0, -1])]},
            "Expected `prompts` of the figure `F` to be counted from 0, but got -1.",
        ),
        (
            {"figures": [FigureSettings("F", "loss_curves", prompts=[0])]},
            "Expected the figure `F` to have no `prompts`",
        ),
    ],
)
def test_what_does_not_fit_together_is_one_sentence(changes, problem):
    [found] = problems(**changes)
    assert problem in found


def test_all_problems_come_at_once():
    assert len(problems(budget_steps=0, tables=[TableSettings("T", runs=["a", "b"])])) == 3
