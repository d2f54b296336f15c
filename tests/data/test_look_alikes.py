import numpy as np

from sdtune.data.look_alikes import alike_groups, first_alikes

A = 0xF0F0_F0F0_F0F0_F0F0


def test_two_bits_are_alike_and_three_are_not():
    assert list(first_alikes([A, A ^ 0b11, A ^ 0b111])) == [(1, 0), (2, 1)]
    assert list(first_alikes([A, A ^ 0b111])) == []


def test_what_is_unknown_or_plain_is_not_compared():
    assert list(first_alikes([None, A, None, A, 0, 0, 0b1, 0b10])) == [(3, 1)]
    assert alike_groups([None, None, 0, 0]) == [0, 1, 2, 3]
    assert alike_groups([]) == []


def test_a_group_is_all_that_is_alike_by_way_of_others():
    chain = [A, A ^ 0b1111, A ^ 0b11]  # the last joins the first two
    assert alike_groups(chain) == [0, 0, 0]
    assert alike_groups([*chain, ~A & 2**64 - 1]) == [0, 0, 0, 3]


def test_groups_do_not_depend_on_the_order():
    generator = np.random.default_rng(0)
    seeds = generator.integers(0, 2**63, 40).tolist()
    hashes = [each ^ 1 << int(generator.integers(63)) for each in seeds for _ in range(20)]
    groups = np.array(alike_groups(hashes))
    assert (groups == np.repeat(np.arange(0, 800, 20), 20)).all()
    order = generator.permutation(800)
    shuffled = order[np.array(alike_groups([hashes[each] for each in order]))]
    for group in range(0, 800, 20):
        assert len(set(shuffled[np.isin(order, range(group, group + 20))])) == 1
