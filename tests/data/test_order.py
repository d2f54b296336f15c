import pickle
import time

import pytest
import torch

from sdtune.data.order import Batches, BatchOrder, FixedBatchOrder, ResumableLoader


class Numbers(list):
    """Samples that are numbers, of one size each or as it is said."""

    def __init__(self, count, sizes=None):
        super().__init__(range(count))
        self._sizes = sizes or [0] * count

    def __getitem__(self, key):
        return {"index": key[1], "epoch": key[0]}

    def sizes(self):
        return self._sizes


def order_of(count, batch_size=1, sizes=None, kind=BatchOrder, **options):
    return kind(Numbers(count, sizes), batch_size=batch_size, **{"seed": 1, **options})


def _epoch(order, epoch):
    order.set_epoch(epoch)
    return [key for batch in order for key in batch]


def test_the_order_is_a_function_of_seed_and_epoch():
    first, second = (order_of(50) for _ in range(2))
    assert _epoch(first, 3) == _epoch(second, 3)
    assert {epoch for epoch, _ in _epoch(first, 3)} == {3}
    indices = [[index for _, index in _epoch(first, epoch)] for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in indices)
    assert indices[0] != indices[1] != indices[2]
    # torch's sampler adds seed and epoch, so that these two would be the same
    other = [index for _, index in _epoch(order_of(50, seed=2), 0)]
    assert other != indices[1]


@pytest.mark.parametrize("kind", [BatchOrder, FixedBatchOrder])
def test_without_shuffling_the_order_is_the_folders(kind):
    order = order_of(3, batch_size=2, kind=kind, shuffle=False)
    order.set_epoch(2)
    assert list(order) == [[(2, 0), (2, 1)], [(2, 2)]]


def test_a_batch_says_which_samples_only_stand_in():
    first, second = (
        [
            Batches(Numbers(3))[pickle.loads(pickle.dumps(keys))]
            for keys in order_of(3, 2, num_replicas=2, rank=rank, shuffle=False)
        ]
        for rank in range(2)
    )
    plain = {"epoch": [0, 0], "together": 3}
    assert first == [{"index": [0, 2], "sample_weights": [4 / 3, 4 / 3], **plain}]
    assert second == [{"index": [1, 0], "sample_weights": [4 / 3, 0.0], **plain}]


def test_a_fixed_order_is_sequential_to_the_trainer():
    assert isinstance(order_of(3, kind=FixedBatchOrder), torch.utils.data.SequentialSampler)
    assert not isinstance(order_of(3), torch.utils.data.SequentialSampler)


@pytest.mark.parametrize(("count", "processes"), [(12, 3), (10, 4), (2, 5)])
def test_processes_share_the_samples_evenly(count, processes):
    shares = [
        _epoch(order_of(count, batch_size=2, num_replicas=processes, rank=rank), 0)
        for rank in range(processes)
    ]
    assert {len(share) for share in shares} == {-(-count // processes)}
    assert {index for share in shares for _, index in share} == set(range(count))


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_several_processes_see_what_one_with_larger_batches_sees(processes):
    sizes = [number % 3 for number in range(31)]
    whole = order_of(31, 6, sizes)
    parts = [
        order_of(31, 6 // processes, sizes, num_replicas=processes, rank=rank)
        for rank in range(processes)
    ]
    assert {len(part) for part in parts} == {len(whole)} == {6}
    for together, *shares in zip(whole, *parts, strict=True):
        assert {key for share in shares for key in share} == set(together)


def test_resuming_skips_once_and_only_in_its_epoch():
    order = order_of(10, batch_size=3, sizes=[0, 1] * 5)
    order.set_epoch(4)
    whole = list(order)
    assert len(order) == len(whole) == 4
    order.resume(4, skipped=3)
    assert len(order) == 4
    order.set_epoch(4)  # the Trainer says it again
    iter(order)  # as a loader with workers does, which then begins anew
    assert list(order) == whole[3:]
    assert list(order) == whole
    order.resume(4, skipped=3)
    assert len(_epoch(order, 5)) == 10


def test_a_batch_is_of_one_size():
    sizes = [(640, 384) if number % 3 else (512, 512) for number in range(20)]
    for batch in order_of(20, 4, sizes):
        assert len({sizes[index] for _, index in batch}) == 1


def test_the_loader_gives_batches_of_the_order():
    order = order_of(5, batch_size=2)
    loader = ResumableLoader(Batches(order.samples), batch_size=None, sampler=order)
    batches = list(loader)
    assert len(loader) == 3
    assert [list(zip(b["epoch"], b["index"], strict=True)) for b in batches] == list(order)


def test_the_loader_refuses_to_resume_another_order():
    def loader(count=10, batch_size=2, **changes):
        order = order_of(count, batch_size, **changes)
        return ResumableLoader(Batches(order.samples), batch_size=None, sampler=order)

    state = loader().state_dict()
    loader().load_state_dict(state)
    with pytest.raises(ValueError, match="times the number of processes to be 2, but got 4"):
        loader(batch_size=4).load_state_dict(state)
    with pytest.raises(ValueError, match="samples per epoch to be 10, but got 11; seed of the"):
        loader(11, seed=3).load_state_dict(state)
    with pytest.raises(ValueError, match="times the number of processes to be 2, but got 4"):
        loader(num_replicas=2).load_state_dict(state)
    loader(batch_size=1, num_replicas=2).load_state_dict(state)
    loader().load_state_dict({**state, "batch size": None})  # no size, no place
    sized = loader(sizes=[0, 1] * 5).state_dict()
    loader(sizes=[0, 1] * 5).load_state_dict(sized)
    with pytest.raises(ValueError, match="Expected sizes of the samples to be"):
        loader(sizes=[1, 0] * 4 + [0, 0]).load_state_dict(sized)


def test_the_loader_says_how_long_it_was_waited_for():
    order = order_of(5, batch_size=2)

    class Slow(Batches):
        def __getitem__(self, keys):
            time.sleep(0.02)
            return super().__getitem__(keys)

    loader = ResumableLoader(Slow(order.samples), batch_size=None, sampler=order)
    assert loader.waited == 0.0
    for _ in loader:
        time.sleep(0.05)
    assert 0.06 <= loader.waited < 0.16
    before = loader.waited
    list(loader)
    assert loader.waited >= before + 0.06


def test_sizes_are_asked_for_once_however_many_checkpoints_there_are():
    order = order_of(4, sizes=[0, 1] * 2)
    described = order.describe()
    order.samples.sizes = None
    assert order.describe() == described
