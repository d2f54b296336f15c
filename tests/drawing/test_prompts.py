from __future__ import annotations

import pytest

from sdtune.drawing.prompts import fill_fields, read_prompts


def test_fields_are_filled_in() -> None:
    assert fill_fields("a {subject}, {subject}!", {"subject": r"\1 qqq cat"}) == (
        r"a \1 qqq cat, \1 qqq cat!"
    )
    assert fill_fields("a {1} {} {A cat}", {}) == "a {1} {} {A cat}"


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"which are `{subject}`, but .* has `{class}`"):
        fill_fields("a {class}", {"subject": "cat"})
    with pytest.raises(ValueError, match="which are none, but"):
        fill_fields("a {subject}", {})


def test_prompts_of_a_file(tmp_path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeffa cat\n\n  a café  \r\n", encoding="utf-8")
    assert read_prompts(path) == ["a cat", "a café"]
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"but .* is empty"):
        read_prompts(path)
    for wrong in (tmp_path, tmp_path / "gone.txt"):
        with pytest.raises(ValueError, match="cannot be read: "):
            read_prompts(wrong)
