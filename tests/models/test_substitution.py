"""Words that stand for others are put in place once."""

from __future__ import annotations

import pytest

from sdtune.models.substitution import substitute


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a cat", "a cat"),
        ("a <erica>, asleep", "a <erica> <erica>_1 <erica>_2, asleep"),
        ("a <ERICA>", "a <erica> <erica>_1 <erica>_2"),
        ("only <erica>_1", "only <erica>_1"),
        ("<erica>, <erica>", "<erica> <erica>_1 <erica>_2, <erica> <erica>_1 <erica>_2"),
    ],
)
def test_a_placeholder_is_written_out_and_not_twice(prompt: str, expected: str) -> None:
    substitutions = {"<erica>": "<erica> <erica>_1 <erica>_2"}
    assert substitute(prompt, substitutions) == expected
    assert substitute(expected, substitutions) == expected


def test_another_text_takes_the_place_of_all_its_tokens() -> None:
    assert substitute("a <erica> <erica>_1 asleep", {"<erica>": "grey cat"}) == "a grey cat asleep"


def test_text_is_taken_literally() -> None:
    assert substitute(r"a <a.b> and <axb>", {"<a.b>": r"\1"}) == r"a \1 and <axb>"
