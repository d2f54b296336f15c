import pytest

from sdtune.evaluation.descriptions import METRICS
from sdtune.report.words import LIMITS, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.2, "41 s"), (138, "2 min 18 s"), (11100, "3 h 05 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_every_metric_says_what_it_does_not_mean():
    assert LIMITS.keys() == METRICS.keys()
