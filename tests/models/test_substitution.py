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


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("photo, EasyNegativeV2", "photo, EasyNegativeV2 EasyNegativeV2_1"),
        ("easynegativev2, easynegative", "EasyNegativeV2 EasyNegativeV2_1, EasyNegative <1>"),
        ("EasyNegativeV2_1", "EasyNegativeV2_1"),
        ("bad bad_1 bad_2, bad_2", "bad bad_1 bad_2 bad_2_1, bad_2 bad_2_1"),
        ("bad bad_23", "bad bad_1"),
    ],
)
@pytest.mark.parametrize("step", [1, -1])
def test_of_words_that_begin_alike_the_longer_one_is_read(
    step: int, prompt: str, expected: str
) -> None:
    substitutions = {
        "EasyNegative": "EasyNegative <1>",
        "EasyNegativeV2": "EasyNegativeV2 EasyNegativeV2_1",
        "bad": "bad bad_1",
        "bad_2": "bad_2 bad_2_1",
    }
    assert substitute(prompt, dict(list(substitutions.items())[::step])) == expected


def test_what_was_put_in_place_is_not_looked_at_again() -> None:
    assert substitute("<a> <b>", {"<a>": "<b>", "<b>": "<a>"}) == "<b> <a>"
    assert substitute("a cat", {}) == "a cat"
