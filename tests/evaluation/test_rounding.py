import pytest

from sdtune.evaluation.rounding import (
    decimals,
    difference_words,
    figure_words,
    interval,
    number,
    percent,
    signed,
    verdict_words,
)
from sdtune.run_folder.record import Difference, Figure


@pytest.mark.parametrize(
    ("intervals", "places"),
    [([(27.0, 29.3)], 1), ([(0.1, 0.34)], 2), ([(30, 55), (0.0, 0.05)], 3), ([(1.0, 1.0)], 2)],
)
def test_two_digits_of_the_narrowest_interval_are_shown(intervals, places):
    assert decimals(intervals) == places


def test_numbers_keep_their_sign_and_zero_has_none():
    assert number(-0.04, 1) == "0.0"
    assert number(-1.25, 2) == "\N{MINUS SIGN}1.25"
    assert [signed(value, 1) for value in (0.4, -0.4, 0.01)] == ["+0.4", "\N{MINUS SIGN}0.4", "0.0"]
    assert interval(-0.2, 1.0, 1) == "\N{MINUS SIGN}0.2 to 1.0"


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (0.004, "under 1 %"), (0.125, "12 %"), (1.0, "100 %")]
)
def test_percent(share, text):
    assert percent(share) == text


def test_an_interval_that_cannot_be_had_is_said_to_be_none():
    alike = Figure(9.61, 9.61, 9.61 + 1e-15, 2)
    assert figure_words("clip_score", alike, 2) == ("9.61", "no interval")
    assert figure_words("memorised_share", Figure(1.0, 1.0, 1.0, 2), 0) == ("100 %", "no interval")
    difference = Difference(9.61, 9.61, 9.61, "no interval")
    assert difference_words("clip_score", difference, 2) == ("+9.61", "no interval")
    assert verdict_words(difference) == verdict_words(None) == ""
    assert verdict_words(Difference(2.0, 1.0, 3.0, "better")) == "better"
    nothing = Difference(0.0, 0.0, 0.0, "no difference seen")
    assert difference_words("clip_score", nothing, 1) == ("0.0", "0.0 to 0.0")
    assert decimals([(9.61, 9.61 + 1e-15), (0.1, 0.34)]) == 2
