import pytest

from sdtune.cli import main


def test_a_good_recipe_passes(recipe, capsys):
    assert main(["check", recipe]) == 0
    assert capsys.readouterr().out == "toy.yaml: no problems found.\n"


def test_every_problem_is_listed(recipe, capsys):
    assert main(["check", recipe, "--model.rank=0", "--data.folder=nowhere"]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("sdtune: 3 problems")
    assert "`rank` to be a positive integer" in printed


@pytest.mark.parametrize("arguments", [[], ["--model.rank=0"]])
def test_a_recipe_is_needed(arguments, capsys):
    assert main(["check", *arguments]) == 2
    assert "Expected a recipe: sdtune check RECIPE.yaml" in capsys.readouterr().err
