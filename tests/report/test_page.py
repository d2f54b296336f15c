import pytest
from jinja2 import UndefinedError

from sdtune.report.page import write_page

_EMPTY = {"note": "", "tables": [], "illustrations": [], "rows": [], "plots": []}


def test_texts_are_escaped_and_nothing_is_left_to_fetch(tmp_path):
    path = write_page("comparison.html", tmp_path / "a.html", title="<b>&", **_EMPTY)
    page = path.read_text(encoding="utf-8")
    assert "<h1>&lt;b&gt;&amp;</h1>" in page
    assert "<style>" in page
    assert "src=" not in page
    assert "://" not in page


def test_a_page_that_cannot_be_filled_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.html"
    path.write_text("old")
    with pytest.raises(UndefinedError):
        write_page("comparison.html", path, title="t")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.html"]
