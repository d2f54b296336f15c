"""`sdtune recipes`, and recipes by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdtune.cli import main
from sdtune.commands.errors import CallError
from sdtune.commands.recipe import read_yaml
from sdtune.commands.shipped_recipes import find_recipe, name_recipes, shipped_recipes

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDTUNE_CACHE", str(tmp_path / "cache"))


def test_every_recipe_to_train_by_has_a_name():
    files = [ROOT.glob(f"recipes/{folder}*.yaml") for folder in ("", "sd14/", "sdxl/")]
    assert sorted(shipped_recipes().values()) == sorted(path for each in files for path in each)
    assert {"style_lora", "sd14/dreambooth", "sdxl/multi_concept"} <= shipped_recipes().keys()


def test_they_are_listed_with_what_they_are_for(capsys):
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = dict(line.split("  ", 1) for line in lines if "  " in line and ": " not in line)
    assert rows.keys() == shipped_recipes().keys()
    assert rows["style_lora"].strip() == "A style from 122 pictures"
    assert all(10 < len(text.strip()) < 90 for text in rows.values())


def test_a_copy_has_the_same_bytes_and_overwrites_nothing(capsys):
    assert main(["recipes", "copy", "sd14/dreambooth", "mine/deep"]) == 0
    copy = Path("mine/deep/dreambooth.yaml")
    assert capsys.readouterr().out.strip() == str(copy)
    assert copy.read_bytes() == (ROOT / "recipes" / "sd14" / "dreambooth.yaml").read_bytes()
    copy.write_text("edited")
    assert main(["recipes", "copy", "dreambooth", "mine/deep"]) == 2
    assert "Expected `mine/deep/dreambooth.yaml` not to exist" in capsys.readouterr().err
    assert copy.read_text() == "edited"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["copy", "style_lra", "x"], "did you mean `style_lora`?"),
        (["copy", "style_lora"], "Expected `folder` to be given"),
        (["copi"], "did you mean `copy`?"),
        (["copy", "style_lora", "file/x"], "to lie in a folder, but `file` is no folder"),
    ],
)
def test_wrong_calls_say_what_to_type(words, said, capsys):
    Path("file").touch()
    assert main(["recipes", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_name_is_taken_for_a_file_only_where_there_is_none():
    assert find_recipe("style_lora") == str(ROOT / "recipes" / "style_lora.yaml")
    Path("style_lora").write_text("trainer: {}")
    assert find_recipe("style_lora") == "style_lora"
    assert read_yaml("style_lora") == {"trainer": {}}
    assert find_recipe("nothing") == "nothing"
    inline = '{"trainer": {"max_steps": 1' + " " * 5_000 + "}}"  # no possible name of a file
    assert find_recipe(inline) == inline


def test_names_are_put_in_wherever_a_call_gives_them():
    file = str(ROOT / "recipes" / "dreambooth.yaml")
    words = ["--config", "dreambooth", "-c=dreambooth", "--config=mine.yaml", "--run", "dreambooth"]
    assert name_recipes(words) == [
        *("--config", file, f"-c={file}", "--config=mine.yaml"),
        *("--run", "dreambooth"),
    ]


def test_a_path_that_is_not_there_is_told_the_name():
    with pytest.raises(CallError, match="`sd14/style_lora`, without folder and suffix"):
        read_yaml("recipes/sd14/style_lora.yaml")
    with pytest.raises(CallError, match="`style_lora`, without folder and suffix"):
        read_yaml("recipes/style_lora.yaml")


@pytest.mark.parametrize("name", ["style_lora", "multi_concept"])
def test_one_is_checked_by_its_name_with_the_pictures_that_come_with_it(name, capsys):
    assert main(["check", name]) == 0
    assert f"{name}: no problems found." in capsys.readouterr().out
