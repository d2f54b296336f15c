"""The page on settings says what the runs came to, and no more."""

from __future__ import annotations

import re

import pytest
import yaml

from benchmarks.settings_page import PAGE, RESULTS, read_results, written
from sdtune.commands.comparison_file import read_comparison
from tests.documented import ROOT

TEXT = PAGE.read_text(encoding="utf-8")
NAMES = ("style", "subject")


def test_the_tables_are_those_of_the_results():
    assert written(TEXT) == TEXT, "write it by `python benchmarks/settings_page.py runs/settings`"
    marks = re.findall(r"<!-- (\w+): ([^>]+) -->", TEXT)
    own = {name: [each["title"] for each in read_results(name)["tables"]][:-1] for name in NAMES}
    assert sorted(marks) == sorted((name, title) for name in NAMES for title in own[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_results_are_of_the_comparison_that_is_here(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    found, file = read_results(name), RESULTS / f"{name}.yaml"
    comparison = read_comparison(file)
    assert [each["name"] for each in found["runs"]] == list(comparison.runs)
    assert {each["status"] for each in found["runs"]} == {"finished"}
    kept = found["comparison"]
    assert kept["evaluation"] == comparison.evaluation
    assert kept["budget_steps"] == comparison.budget_steps
    for run, settings in comparison.runs.items():
        assert kept["runs"][run]["overrides"] == settings.overrides
        assert kept["runs"][run]["recipe"] == settings.recipe
    assert f"sdtune compare {file.relative_to(ROOT).as_posix()}" in TEXT


def test_every_prompt_of_the_style_names_a_thing_that_is_not_learned():
    prompts = yaml.safe_load((RESULTS / "style.yaml").read_text(encoding="utf-8"))["evaluation"]
    captions = (ROOT / "datasets" / "style_openmoji").glob("*.txt")
    things = {each.read_text(encoding="utf-8").partition(" on ")[0] for each in captions}
    assert not {each.partition(" on ")[0] for each in prompts["prompts"]} & things


def test_every_figure_in_a_sentence_is_one_of_the_results():
    tables = [table for name in NAMES for table in read_results(name)["tables"]]
    cells = " ".join(cell for table in tables for row in table["rows"] for cell in row)
    number = r"[\u2212+]?\d[\d.]*"
    figures = re.findall(rf"{number} \({number} to {number}\)", TEXT)
    assert figures
    assert [each for each in figures if each not in cells] == []
