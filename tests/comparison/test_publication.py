import json
from pathlib import Path

import pytest

from sdtune.comparison.figures import DrawnFigure, draw_figures
from sdtune.comparison.publication import (
    build_tables,
    output_problems,
    publish_problems,
    write_markdown,
    write_page,
)
from sdtune.comparison.settings import Comparison, FigureSettings, TableSettings, Variant
from sdtune.report.table import Table
from tests.comparison.runs import draw_pictures, make_result


def test_results_as_markdown_and_json(tmp_path):
    comparison = Comparison(
        title="Toys",
        note="What differs.",
        runs={"lora": Variant("lora.yaml"), "broken": Variant("broken.yaml")},
        tables=[TableSettings("Table 2", metrics=["clip_score"])],
        figures=[
            FigureSettings("Figure 7", "loss_curves"),
            FigureSettings("Figure 8", "samples", ["lora"], note="As in the paper."),
        ],
    )
    results = [make_result("lora", [1.0, 2.0, 3.0, 4.0], folder=tmp_path), make_result("broken")]
    draw_pictures(results[0])
    tables = build_tables(comparison, results)
    assert [table.title for table in tables] == ["Table 2", "All figures"]

    folder = tmp_path / "published"
    figures = draw_figures(comparison.figures, results)
    command = "sdtune compare toys.yaml"
    path = write_markdown(comparison, results, tables, figures, command, folder)
    text = path.read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Toys",
        "## Table 2",
        "## Figure 8",
        "## All figures",
        "## How this was made",
    ]
    assert "![Figure 8](figure_2.png)\n\nAs in the paper." in text  # no loss, so no figure 7
    assert (folder / "figure_2.png").is_file()
    assert "```bash\nsdtune compare toys.yaml\n```" in text
    assert str(tmp_path) not in text.replace(str(tmp_path / "lora"), "")

    content = json.loads((folder / "comparison.json").read_text(encoding="utf-8"))
    assert [run["status"] for run in content["runs"]] == ["finished", "failed"]
    assert content["runs"][0]["last"]["figures"]["clip_score"]["value"] == 2.5
    assert content["tables"][0]["title"] == "Table 2"

    page = write_page(comparison, results, tables, figures, tmp_path / "page.html").read_text(
        "utf-8"
    )
    assert page.index("What differs.") < page.index("Table 2") < page.index("As in the paper.")
    assert "<h2>lora</h2>" in page
    assert "<h2>broken</h2>" not in page  # it has no folder
    assert page.count('alt="Figure 8"') == 1


def test_a_figure_that_cannot_be_drawn_is_a_sentence_in_text_and_page(tmp_path):
    settings = FigureSettings("Figure 8", "samples")
    comparison = Comparison("Toys", {"a": Variant("a.yaml")}, note="Ours.", figures=[settings])
    figures = [DrawnFigure(settings, problem="The figure `Figure 8` could not be drawn: gone")]
    tables = [Table("t", [], [])]
    text = write_markdown(comparison, [], tables, figures, "c", tmp_path).read_text("utf-8")
    assert "## Figure 8\n\nThe figure `Figure 8` could not be drawn: gone\n" in text
    assert (tmp_path / "comparison.json").is_file()
    page = write_page(comparison, [], tables, figures, tmp_path / "page.html").read_text("utf-8")
    assert "Ours. The figure `Figure 8` could not be drawn: gone" in page


def test_only_a_folder_of_results_is_written_into_again(tmp_path):
    new, empty, own = tmp_path / "new" / "one", tmp_path / "empty", tmp_path / "own"
    empty.mkdir()
    write_markdown(
        Comparison("Toys", {"a": Variant("a.yaml")}), [], [Table("t", [], [])], [], "c", own
    )
    (own / "notes.txt").touch()
    for folder in (new, empty, own):
        assert list(publish_problems(folder)) == list(output_problems(folder)) == []
    results = Path(__file__).parents[2] / "recipes" / "paper" / "results"
    assert not [*publish_problems(results / "style"), *publish_problems(results / "subject")]


@pytest.mark.parametrize("name", ["README.md", "comparison.json", "figure_1.png", "report.html"])
def test_what_is_somebody_elses_is_not_written_over(tmp_path, name):
    (tmp_path / name).write_text('{"version": 1}', encoding="utf-8")
    for problems, option in ((publish_problems, "--publish"), (output_problems, "--output")):
        [problem] = problems(tmp_path)
        assert problem.startswith(f"Expected `{option}` to name a new folder, or one that holds")
        assert problem.endswith("is there; name another.")


def test_runs_may_go_where_other_files_are_and_results_may_not(tmp_path):
    (tmp_path / "style_lora").mkdir()
    assert list(output_problems(tmp_path)) == []
    [problem] = publish_problems(tmp_path)
    assert f"but `{tmp_path}` is there" in problem
    (tmp_path / "file").touch()
    for problems in (publish_problems, output_problems):
        [problem] = problems(tmp_path / "file")
        assert problem == f"Expected `{tmp_path / 'file'}` not to exist, but it does: name another."
