import json

from sdtune.comparison.publication import build_tables, write_markdown, write_page
from sdtune.comparison.settings import Comparison, FigureSettings, TableSettings, Variant
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
    path = write_markdown(comparison, results, tables, "sdtune compare toys.yaml", folder)
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

    page = write_page(comparison, results, tables, tmp_path / "page.html").read_text("utf-8")
    assert page.index("What differs.") < page.index("Table 2") < page.index("As in the paper.")
    assert "<h2>lora</h2>" in page
    assert "<h2>broken</h2>" not in page  # it has no folder
    assert page.count('alt="Figure 8"') == 1
