import pytest

from sdtune.report.words import duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(41.2, "41 s"), (138, "2 min 18 s"), (11100, "3 h 05 min")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text
