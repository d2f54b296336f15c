import sys
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path

import pytest

from sdtune.files.printable_text import (
    PrintableRecord,
    escape_unprintable,
    printable,
    show,
)


def test_what_a_terminal_would_obey_is_shown_instead():
    told = printable("\x1b[2Ja\x1b]0;title\x07\rb\x9b1m\x7f")
    assert told == "\\x1b[2Ja\\x1b]0;title\\x07\\rb\\x9b1m\\x7f"
    assert printable("a\nb\u2028c\u202egnp.exe\udcff") == "a\\nb\\u2028c\\u202egnp.exe\\udcff"


def test_a_line_is_one_line_whatever_is_in_it(capsys):
    show("a\n  - b", 3, Path("c\x1b"))
    assert capsys.readouterr().out == "a\\n  - b\n3\nc\\x1b\n"
    record = PrintableRecord("x", 20, "", 0, "%s\n%s", ("a\x1b", "b"), None)
    assert record.getMessage() == "a\\x1b\nb"
    show("d", file=sys.stderr)
    assert capsys.readouterr().err == "d\n"


def test_other_texts_stay_as_they_are():
    assert printable("Größe\t„7“ ひ 🐈") == "Größe\t„7“ ひ 🐈"


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("cp1252", "é \\u2191-0.5-"),
        ("ascii", "\\xe9 \\u2191-0.5-"),
        ("utf-8", "é ↑\u22120.5\u2212"),
    ],
)
def test_a_stream_escapes_what_its_encoding_lacks(monkeypatch, encoding, written):
    output = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(output, encoding=encoding))
    escape_unprintable()
    show("é ↑\u22120.5\u2212")
    assert output.getvalue().decode(encoding) == f"{written}\n"


def test_a_stream_of_somebody_elses_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(sys, "stdout", StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    escape_unprintable()
    show("↑")
    assert sys.stdout.getvalue() == "↑\n"
