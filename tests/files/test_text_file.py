import os

import pytest

from sdtune.files.text_file import parse_json_text, parse_yaml_text, read_text


def test_a_text_is_read_without_its_mark(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffa caf\u00e9".encode())
    assert read_text(tmp_path / "a.txt", tmp_path) == "a caf\u00e9"
    (tmp_path / "b.txt").symlink_to("a.txt")
    assert read_text(tmp_path / "b.txt", tmp_path) == "a caf\u00e9"


def test_nothing_endless_is_read(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    (tmp_path / "large.txt").write_text("a" * 2_000_001)
    for name in ("pipe.txt", "zero.txt"):
        with pytest.raises(OSError, match="it is not a file"):
            read_text(tmp_path / name)
    with pytest.raises(OSError, match="it is larger than 2 MB"):
        read_text(tmp_path / "large.txt", largest=2_000_000)


def test_no_link_leads_out(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "in" / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="it is a link out of the folder"):
        read_text(tmp_path / "in" / "a.txt", tmp_path / "in")


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (BOMB, "comes to more than 100,000 values"),
        ("a: &a [*a]", "comes to more than 100,000 values"),
        ("[" * 100_000, "nested too deeply"),
        ("a: 2001-99-99", "month must be in"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: [", "expected the node content"),
        ('a: "\\ud800"', "no Unicode"),
        ('a: "b\\0"', "null character"),
        ('"\\ud800": 1', "no Unicode"),
    ],
)
def test_yaml_that_would_take_for_ever_or_run_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_yaml_text(text)


def test_whole_pairs_of_surrogates_are_one_character():
    assert parse_json_text(r'"\ud83d\ude00"') == "\U0001f600"


def test_yaml_with_references_is_read():
    assert parse_yaml_text("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, "{", "", r'["\uD800"]'])
def test_json_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"nested|digits|Expecting|no Unicode"):
        parse_json_text(text)


def test_a_key_that_is_given_twice_is_refused_and_one_that_is_merged_in_is_not() -> None:
    with pytest.raises(ValueError, match=r"gives `a` twice, in lines 2 and 3"):
        parse_yaml_text("x:\n  a: 1\n  a: 2\n")
    merged = "r: &r {a: 1, b: 1}\ns: &s {<<: *r, a: 2}\nt: {<<: *s, a: 3}\n"
    assert parse_yaml_text(merged)["t"] == {"a": 3, "b": 1}
    assert parse_yaml_text("") is None
