import os
import re
import shutil
from urllib.parse import unquote_to_bytes

import pytest

from sdtune.files.printable_text import printable
from sdtune.report.comparison import runs_table, write_comparison
from sdtune.report.table import Table
from tests.report.test_run_report import read


@pytest.fixture
def runs(whole_run, tmp_path):
    """The whole run, with a page of its own, and one that was stopped before it was scored."""
    first = shutil.copytree(whole_run, tmp_path / "style_lora" / "version_0")
    (first / "report.html").touch()
    second = shutil.copytree(whole_run, tmp_path / "dreambooth" / "version_0")
    (second / "evaluation.json").unlink()
    shutil.rmtree(second / "adapter")
    return [first, second]


def test_a_row_a_run_below_the_tables(runs, tmp_path):
    note, terms = "One prompt is not many.", [("score", "How much one likes it.")]
    table = Table("Who wins", ["run", "score"], [["<a> & b", "1"]], note, terms)
    _, page = read(write_comparison("Two ways", [table], runs, tmp_path / "page.html"))
    for part in (
        "Two ways",
        "Who wins",
        "<a> & b",
        note,
        "How much one likes it.",
        "style_lora/version_0",
        "Best checkpoint: step 400. Its style score is 0.62.",
        "This run is not finished. Nothing was scored in this run.",
    ):
        assert part in page.text, part
    assert page.text.index("Who wins") < page.text.index("Training loss")
    assert page.tags.count("input") == 4
    links = [each for each in page.addresses if not each.startswith(("data:", "#"))]
    assert links == ["./style_lora/version_0/report.html"]
    assert len(set(page.ids)) == len(page.ids)


def test_names_of_folders_are_names(whole_run, tmp_path):
    names = ["lr#1", "p%20q", "javascript:alert(1)", "a$x^$", "_b", "c$1$d", os.fsdecode(b"\xe9")]
    for name in names:
        run = tmp_path / name
        run.mkdir()
        shutil.copy(next(whole_run.glob("events.out.*")), run)
        (run / "config.yaml").touch()
        (run / "report.html").touch()
    runs = [tmp_path / name for name in names]
    page, reader = read(write_comparison("t", [], runs, tmp_path / "a.html"))
    links = [each for each in reader.addresses if not each.startswith(("data:", "#"))]
    assert all(each.startswith("./") for each in links)
    assert [os.fsdecode(unquote_to_bytes(each)) for each in links] == [
        f"./{name}/report.html" for name in names
    ]
    shown = re.findall(r"<text [^>]*>([^<]*)</text>", page)
    assert all(shown.count(printable(name)) == 2 for name in names)  # of both losses


def test_the_figures_of_several_runs(runs):
    table = runs_table(runs)
    assert table.columns[:3] == ["run", "checkpoint", "CLIP score"]
    first, second = table.rows
    assert first[:3] == ("style_lora/version_0", "step 400", "27.7 (26.6 to 28.9)")
    assert second[:3] == ("dreambooth/version_0", "not scored", "not measured")


def test_all_missing_folders_are_named(runs, tmp_path):
    wrong = [tmp_path / "a", *runs, tmp_path / "b"]
    with pytest.raises(FileNotFoundError, match=r"nothing at .*/a, .*/b"):
        write_comparison("t", [], wrong, tmp_path / "page.html")


def test_what_cannot_be_read_of_a_run_is_told_in_its_row(runs, tmp_path):
    events = next(runs[1].glob("events.out.*"))
    events.write_bytes(events.read_bytes()[:-9])
    (runs[1] / "resumes.json").write_text("{", encoding="utf-8")
    _, page = read(write_comparison("Two", [], runs, tmp_path / "page.html"))
    row = page.text[page.text.index("This run is not finished") :]
    assert f"{events} can be read only up to step" in row
    assert f"{runs[1] / 'resumes.json'} cannot be read" in row
    assert "resumes.json" not in page.text[: -len(row)]
