import shutil
from pathlib import Path

import pytest

from sdtune.cli import main
from tests.report.run_folder import make_run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run_folder(tmp_path_factory.mktemp("runs") / "style_lora" / "version_0")


def test_the_page_of_a_run_goes_into_its_folder_or_where_one_says(run, tmp_path, capsys):
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").is_file()
    assert capsys.readouterr().out == f"report: {run / 'report.html'}\n"
    assert main(["report", str(run), f"--output={tmp_path / 'mine.html'}"]) == 0
    assert (tmp_path / "mine.html").read_bytes() == (run / "report.html").read_bytes()


def test_several_runs_make_one_page(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "other")
    assert main(["report", str(run), "other"]) == 0
    assert "<h1>2 runs</h1>" in Path("report.html").read_text(encoding="utf-8")


def test_a_file_of_somebody_is_left_as_it_is(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run, "other")
    Path("notes.txt").write_text("one's own")
    Path("report.html").write_text("<p>one's own</p>")
    Path("gone.html").symlink_to("nowhere")
    Path("other", "report.html").write_text("")
    for words, named in (
        ([str(run), "--output=notes.txt"], "notes.txt"),
        ([str(run), "other"], "report.html"),
        (["other"], "other/report.html"),
        ([str(run), "--output=gone.html"], "gone.html"),
        ([str(run), "--output=notes.txt/a.html"], "notes.txt/a.html"),
    ):
        assert main(["report", *words]) == 2
        said = capsys.readouterr().err
        assert f"Expected `{named}`" in said
        assert "name another" in said
    assert Path("notes.txt").read_text() == "one's own"
    assert Path("report.html").read_text() == "<p>one's own</p>"
    Path("report.html").unlink()
    for _ in range(2):  # its own is replaced
        assert main(["report", str(run), "other"]) == 0


def test_all_that_is_wrong_is_listed(run, tmp_path, capsys):
    call = ["report", str(tmp_path), str(run), "--rows", "3", "--output", str(tmp_path)]
    assert main(call) == 2
    problems = capsys.readouterr().err.splitlines()
    assert len(problems) == 4  # the number of problems, then each
    assert "got `--rows`" in problems[1]
    assert f"holds a config.yaml, but got `{tmp_path}`" in problems[2]
    assert "`--output` to name a file" in problems[3]


def test_without_a_run_the_usage_is_shown(capsys):
    assert main(["report"]) == 2
    assert "sdtune report RUN [RUN ...]" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    assert capsys.readouterr().out.startswith("usage: sdtune report RUN [RUN ...]")
