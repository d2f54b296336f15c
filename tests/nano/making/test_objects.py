import pytest

from sdtune.nano.making.objects import OBJECTS, WELL_KNOWN, object_label, with_article


def test_no_object_is_named_twice():
    assert len(set(OBJECTS)) == len(OBJECTS)
    assert set(WELL_KNOWN) < set(OBJECTS)


def test_no_two_objects_are_the_same_emoji():
    assert len({object_label(name) for name in OBJECTS}) == len(OBJECTS)


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("apple", "an apple"),
        ("umbrella", "an umbrella"),
        ("unicorn", "a unicorn"),
        ("t-shirt", "a t-shirt"),
        ("ice cream", "an ice cream"),
        ("grapes", "grapes"),
        ("scissors", "scissors"),
    ],
)
def test_articles_are_those_of_speech(name, caption):
    assert name in OBJECTS
    assert with_article(name) == caption
