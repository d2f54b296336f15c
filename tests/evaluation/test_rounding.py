import pytest

from sdtune.evaluation.rounding import decimals, interval, number, percent, signed


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
