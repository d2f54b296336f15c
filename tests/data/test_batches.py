import random

import pytest

from sdtune.data.batches import batches_of_one_size, share_of_rank


def test_of_one_size_batches_are_those_of_a_plain_loader():
    order = random.Random(0).sample(range(23), 23)
    batches = batches_of_one_size(order, ["square"] * 23, 4)
    assert batches == [order[first : first + 4] for first in range(0, 23, 4)]


def test_every_sample_is_in_one_batch_of_its_size():
    draw = random.Random(1)
    sizes = [draw.choice([(640, 384), (512, 512), (384, 640)]) for _ in range(101)]
    order = draw.sample(range(101), 101)
    batches = batches_of_one_size(order, sizes, 8)
    assert sorted(index for batch in batches for index in batch) == list(range(101))
    assert all(len({sizes[index] for index in batch}) == 1 for batch in batches)
    ragged = [batch for batch in batches if len(batch) < 8]
    assert len(ragged) <= 3
    assert batches[-len(ragged) :] == ragged
    # a batch is done when its last sample has come
    full = [order.index(batch[-1]) for batch in batches if len(batch) == 8]
    assert full == sorted(full)


def test_the_number_of_batches_does_not_depend_on_the_order():
    sizes = [number % 3 for number in range(50)]
    counts = {
        len(batches_of_one_size(random.Random(seed).sample(range(50), 50), sizes, 4))
        for seed in range(20)
    }
    assert counts == {5 + 5 + 4}


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_processes_share_a_batch_evenly(ranks):
    batches = [[1, 2, 3, 4, 5, 6], [7, 8, 9, 10], [11]]
    shares = [share_of_rank(batches, rank, ranks) for rank in range(ranks)]
    for number, batch in enumerate(batches):
        parts = [share[number].indices for share in shares]
        assert len({len(part) for part in parts}) == 1
        together = [index for part in zip(*parts, strict=True) for index in part]
        assert together[: len(batch)] == batch
        assert set(together) == set(batch)
        assert len(together) - len(batch) < ranks
        assert {share[number].together for share in shares} == {len(batch)}


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("size", [1, 2, 5, 6, 17])
def test_the_mean_over_processes_is_that_of_the_batch(ranks, size):
    """What only stands in for a sample that is missing counts nothing."""
    values = [random.Random(number).random() for number in range(size)]
    shares = [share_of_rank([range(size)], rank, ranks)[0] for rank in range(ranks)]
    means = []
    for share in shares:
        weights = share.weights or [1.0] * len(share.indices)
        counted = [values[i] * w for i, w in zip(share.indices, weights, strict=True)]
        means.append(sum(counted) / len(counted))
    assert sum(means) / ranks == pytest.approx(sum(values) / size, rel=1e-12)
    assert (shares[0].weights is None) == (size % ranks == 0)
