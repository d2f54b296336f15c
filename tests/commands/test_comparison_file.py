from pathlib import Path

import pytest

from sdtune.commands.comparison_file import is_comparison, read_comparison
from sdtune.commands.errors import CallError
from sdtune.comparison.settings import FigureSettings, TableSettings, Variant

TEXT = """\
title: Toys
evaluation: {prompts: [a cat]}
overrides: {model.rank: 8}
runs:
  adamw: {recipe: toy.yaml, overrides: {model.learning_rate: 1e-3}}
  sgd:
    recipe: toy.yaml
    label: SGD
tables:
  - title: Table 1
    metrics: [train_loss]
    paper: {adamw: 1}
figures:
  - {title: Figure 7, kind: loss_curves, runs: [sgd]}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "toys.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


def problems(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CallError) as caught:
        read_comparison(path)
    assert all(each.startswith(f"{path}: ") for each in caught.value.problems)
    return [each.removeprefix(f"{path}: ") for each in caught.value.problems]


def test_a_comparison_is_its_settings(path):
    assert is_comparison(path)
    comparison = read_comparison(path, budget_steps=3)
    assert (comparison.output, comparison.budget_steps) == ("runs/toys", 3)
    assert comparison.runs["adamw"] == Variant("toy.yaml", overrides={"model.learning_rate": 1e-3})
    assert comparison.label("sgd") == "SGD"
    assert comparison.tables == [TableSettings("Table 1", ["train_loss"], paper={"adamw": 1.0})]
    assert comparison.figures == [FigureSettings("Figure 7", "loss_curves", ["sgd"])]


def test_a_recipe_is_no_comparison(recipe):
    assert not is_comparison(recipe)


def test_every_unknown_key_and_wrong_type_is_named(path):
    assert problems(
        path,
        """
titel: Toys
budget_steps: many
runs:
  adamw: {recipe: toy.yaml, lable: A}
  sgd: toy.yaml
figures:
  - {title: F, kind: histogram}
""",
    ) == [
        "Expected `title` to be given, but it is missing.",
        "Expected a known key, but got `runs.adamw.lable`; did you mean `runs.adamw.label`?",
        "Expected `runs.sgd` to be a mapping, but got 'toy.yaml'.",
        "Expected `budget_steps` to be an integer, but got 'many'.",
        "Expected `figures[0].kind` to be one of 'loss_curves' or 'samples', but got 'histogram'.",
        "Expected a known key, but got `titel`; did you mean `title`?",
    ]


def test_what_does_not_fit_together_is_named(path):
    assert problems(path, TEXT.replace("[sgd]", "[sdg]")) == [
        "Expected `Figure 7` to name runs of this comparison, but got `sdg`; there are `adamw`, "
        "`sgd`."
    ]


def test_a_list_where_a_mapping_belongs_is_named(path):
    assert problems(path, "title: T\nruns: [toy.yaml]\ntables: {a: 1}") == [
        "Expected `runs` to be a mapping, but got ['toy.yaml'].",
        "Expected `tables` to be a list, but got {'a': 1}.",
    ]
