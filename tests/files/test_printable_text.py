import sys
from pathlib import Path

from sdtune.files.printable_text import PrintableRecord, printable, show


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
