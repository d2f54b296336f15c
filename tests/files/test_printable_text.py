from sdtune.files.printable_text import printable


def test_what_a_terminal_would_obey_is_shown_instead():
    told = printable("\x1b[2Ja\x1b]0;title\x07\rb\x9b1m\x7f")
    assert told == "\\x1b[2Ja\\x1b]0;title\\x07\\x0db\\x9b1m\\x7f"


def test_other_texts_stay_as_they_are():
    assert printable("Größe\t„7“\nひ 🐈") == "Größe\t„7“\nひ 🐈"
