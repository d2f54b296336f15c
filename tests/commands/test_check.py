import json
from pathlib import Path

import pytest

from sdtune.cli import main
from sdtune.data import image_folder
from tests.picture_folders import make_picture_folder

STYLE = Path(__file__).parents[2] / "recipes/style_lora.yaml"


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


def test_json_is_all_that_is_printed(recipe, capsys):
    assert main(["check", recipe, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"problems": [], "notes": [], "survey": None}
    assert main(["check", recipe, "--json", "--model.rank=0", "--data.folder=nowhere"]) == 2
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["problems"]) == 3


def test_a_contact_sheet_needs_pictures(recipe, capsys):
    assert main(["check", recipe, "--contact_sheet", "sheet.html"]) == 2
    assert "`--contact_sheet`" in capsys.readouterr().err
    assert main(["check", recipe, "--contact_sheet"]) == 2
    assert "`--contact_sheet` to be given a value" in capsys.readouterr().err
    assert main(["check", recipe, "--contact_sheet", "."]) == 2
    assert "`--contact_sheet` to name a file, but got the folder `.`" in capsys.readouterr().err
    assert main(["check", recipe, "--contact_sheet", recipe]) == 2
    assert f"Expected `{recipe}` to be a new file, or a page" in capsys.readouterr().err


def test_what_two_processes_do_differently_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    folder = make_picture_folder(tmp_path / "pictures", 4)
    words = [str(STYLE), f"--data.folder={folder}", "--model.dropout=0.1", "--json"]
    words += ["--data.validation_count=0"]
    for devices in (1, 2):
        more = [f"--trainer.devices={devices}", "--trainer.accelerator=cpu"]
        assert main(["check", *words, *more]) == 0
        notes = json.loads(capsys.readouterr().out)["notes"]
        assert any("2 processes draw another mask" in each for each in notes) == (devices == 2)


def test_the_data_are_surveyed_at_the_models_resolution(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    folder = make_picture_folder(tmp_path / "pictures", 8, size=48)
    words = [str(STYLE), f"--data.folder={folder}", "--trainer.accelerator=cpu"]
    words += ["--data.validation_count=0", "--json", f"--contact_sheet={tmp_path / 'sheet.html'}"]
    walked = []
    walk = image_folder._walk
    monkeypatch.setattr(
        image_folder, "_walk", lambda each, links: (walked.append(each), walk(each, links))[1]
    )
    assert main(["check", *words]) == 0
    assert walked == [folder]  # once for all that asks
    said = json.loads(capsys.readouterr().out)
    assert said["survey"]["resolution"] == 64  # nano's, whose weights are not loaded
    assert said["survey"]["counts"]["enlarged"] == 8
    assert "data: 8 pictures at 64x64; 100 % of the pixels are kept." in said["notes"]
    assert (tmp_path / "sheet.html").stat().st_size > 10_000
    wrong = "--data.buckets={step: 128, smallest: 128}"
    assert main(["check", *words, wrong]) == 2
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert "smallest <= resolution" in problem


def test_an_evaluation_that_has_nothing_to_compare_with_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    folder = make_picture_folder(tmp_path / "pictures", 1)
    words = [f"--data.folder={folder}", "--trainer.accelerator=cpu", "--data.validation_count=0"]
    for call in (["check", str(STYLE)], ["fit", f"--config={STYLE}"]):
        assert main([*call, *words]) == 2
        assert "at least two training pictures to compare" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
