import pytest

from sdtune.data.rounds import Rounds


def positions(repeats):
    rounds = Rounds(repeats)
    return [rounds.position(number) for number in range(len(rounds))]


@pytest.mark.parametrize("repeats", [1, 3])
def test_equal_repeats_are_the_list_again_and_again(repeats):
    assert positions([repeats] * 4) == [number % 4 for number in range(4 * repeats)]


def test_round_k_holds_what_has_more_than_k_repeats():
    repeats = [2, 1, 5, 2, 5]
    expected = [place for k in range(5) for place, times in enumerate(repeats) if times > k]
    assert positions(repeats) == expected == [0, 1, 2, 3, 4, 0, 2, 3, 4, 2, 4, 2, 4, 2, 4]


def test_there_is_nothing_beyond_the_end():
    assert len(Rounds([])) == 0
    for number in (-1, 3):
        with pytest.raises(IndexError, match=f"below 3, but got {number}"):
            Rounds([1, 2]).position(number)
