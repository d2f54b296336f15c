import pytest

from sdtune._wording import counted, fitting, with_article


def test_one_is_not_told_as_several() -> None:
    assert [counted(number, "picture") for number in (0, 1, 2, 1200)] == [
        "0 pictures",
        "1 picture",
        "2 pictures",
        "1,200 pictures",
    ]
    assert counted(1, "box has", "boxes have") == "1 box has"
    assert counted(2, "box has", "boxes have") == "2 boxes have"


@pytest.mark.parametrize(
    ("article", "words"),
    [
        ("an", "apple Umbrella urn underwear ugly hour honest uncle uninvited éclair onion usher"),
        (
            "a",
            "robot unicorn uniform user UFO ukulele utensil house honey european ewe one-off",
        ),
    ],
)
def test_the_article_goes_by_how_a_word_is_said(article: str, words: str) -> None:
    assert {with_article(each) for each in words.split()} == {
        f"{article} {each}" for each in words.split()
    }


@pytest.mark.parametrize(
    ("before", "words", "fitted"),
    [
        ("a photo of a ", "umbrella", "a photo of an "),
        ("An ", "qqq umbrella", "A "),
        ("the ", "umbrella", "the "),
        ("banana ", "umbrella", "banana "),
        ("grade A ", "umbrella", "grade A "),
        ("an ", "<robot>", "an "),
        ("", "umbrella", ""),
    ],
)
def test_an_article_fits_what_follows(before: str, words: str, fitted: str) -> None:
    assert fitting(before, words) == fitted
