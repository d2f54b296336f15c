import os

import pytest

from sdtune.report.page import write_page
from sdtune.report.page_place import page_problem

_EMPTY = {"note": "", "tables": [], "illustrations": [], "rows": [], "plots": []}


def test_a_page_may_take_the_place_of_nothing_and_of_a_page(tmp_path):
    path = tmp_path / "new" / "a.html"
    assert page_problem(path, "--output") is None
    write_page("comparison.html", path, title="t", **_EMPTY)
    page = path.read_bytes()
    assert page_problem(path, "--output") is None
    # of an sdtune before this one
    older = page.replace(b'<meta name="generator"', b'<meta name="other"')
    path.write_bytes(older)
    assert page_problem(path, "--output") is None
    path.write_bytes(older.replace(b"Written by sdtune", b"Written by me"))
    assert page_problem(path, "--output") == (
        f"Expected `{path}` to be a new file, or a page that sdtune wrote, but it is another one; "
        "name another by `--output`, or move it away."
    )
    assert "got the folder" in page_problem(tmp_path, "--output")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "is another one" in page_problem(tmp_path / "pipe", "--output")
