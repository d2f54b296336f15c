import pytest

from sdtune.evaluation.descriptions import METRICS
from sdtune.report.words import LIMITS, decimals, duration, interval, number, percent, signed


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


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.2, "41 s"), (138, "2 min 18 s"), (11100, "3 h 05 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_every_metric_says_what_it_does_not_mean():
    assert LIMITS.keys() == METRICS.keys()
