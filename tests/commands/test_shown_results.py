from dataclasses import replace

from sdtune.commands.shown_results import shown_problems
from sdtune.comparison.planning import plan_run
from sdtune.comparison.settings import Comparison, FigureSettings, TableSettings, Variant
from sdtune.metrics.registry import METRICS, register
from tests.metrics.brightness import BRIGHTNESS

COMPARISON = Comparison(
    "Toys", {"a": Variant("toy.yaml")}, evaluation={"prompts": ["a cat", "a dog"]}
)


def problems(words=(), **asked):
    comparison = replace(COMPARISON, **asked)
    return list(shown_problems(comparison, [plan_run(comparison, "a", {}, words)]))


def test_every_metric_that_is_registered_can_be_shown():
    asked = {"tables": [TableSettings("T", [*METRICS, "train_loss", "brightness"])]}
    [problem] = problems(**asked)
    assert problem.endswith("but got `brightness`.")
    register(BRIGHTNESS)
    try:
        assert problems(**asked) == []
    finally:
        del METRICS["brightness"]


def test_a_mistyped_metric_is_told_with_the_nearest_one():
    [first, second] = problems(tables=[TableSettings("T", ["style_scor", "stylescore"])])
    assert first.endswith("but got `style_scor`; did you mean `style_score`?")
    assert second.endswith("but got `stylescore`; did you mean `style_score`?")


def test_a_figure_shows_prompts_that_are_evaluated():
    assert problems(figures=[FigureSettings("F", "samples", prompts=[0, 1])]) == []
    figures = [FigureSettings("F", "samples", prompts=[0, 2, 7])]
    [problem] = problems(figures=figures)
    assert "to be among the 2 prompts that are evaluated" in problem
    assert problem.endswith("but got 2, 7.")
    more = ["--trainer.callbacks.prompts=[a, b, c]"]  # of which only the run knows
    assert problems(more, figures=figures) == []
