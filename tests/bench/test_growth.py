import pytest

from sdtune.bench.growth import measure_growth, read_growth
from sdtune.bench.record import Row, spread


def row(value: int, seconds: float | None, error: str | None = None) -> Row:
    found = None if seconds is None else spread([seconds])
    return Row(
        "style_lora",
        "nano",
        64,
        "32-true",
        1,
        1,
        value,
        4,
        seconds=found,
        error=error,
        preparation=seconds,
    )


def test_growth_is_read():
    assert read_growth("rank=4,16, 64") == ("rank", [4, 16, 64])


@pytest.mark.parametrize("text", ["rnak=4", "rank", "rank=", "rank=4,,8", "rank=4,x", "rank=0"])
def test_what_is_no_growth_says_what_is(text):
    with pytest.raises(ValueError, match=r"rank=4,16,64, but got"):
        read_growth(text)


def test_values_are_measured_in_turn_and_the_middle_pass_is_kept():
    asked = []
    seconds = {4: iter([3.0, 1.0, 2.0]), 8: iter([5.0, 5.0, 6.0])}

    def measure(value: int) -> Row:
        asked.append(value)
        return row(value, next(seconds[value]))

    growth = measure_growth("rank", [4, 8], measure)
    assert asked == [4, 8] * 3
    assert [each.rank for each in growth.rows] == [4, 8]
    first = growth.rows[0].seconds
    assert first is not None
    assert (first.low, first.median, first.high) == (1.5, 2.0, 2.5)
    assert growth.rows[0].preparation == 2.0


def test_what_has_no_room_is_not_tried_again():
    asked = []

    def measure(value: int) -> Row:
        asked.append(value)
        return row(value, None, "out of memory") if value == 8 else row(value, 1.0)

    growth = measure_growth("rank", [4, 8], measure)
    assert asked == [4, 8, 4, 4]
    assert [each.error for each in growth.rows] == [None, "out of memory"]
