import pytest

from sdtune.data.order import ResumableLoader, ResumableSampler


def _epoch(sampler, epoch):
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_order_is_a_function_of_seed_and_epoch():
    first, second = (ResumableSampler(range(50), seed=1) for _ in range(2))
    assert _epoch(first, 3) == _epoch(second, 3)
    assert {epoch for epoch, _ in _epoch(first, 3)} == {3}
    indices = [[index for _, index in _epoch(first, epoch)] for epoch in range(3)]
    assert all(sorted(order) == list(range(50)) for order in indices)
    assert indices[0] != indices[1] != indices[2]
    # torch's sampler adds seed and epoch, so that these two would be the same
    other = [index for _, index in _epoch(ResumableSampler(range(50), seed=2), 0)]
    assert other != indices[1]


def test_without_shuffling_the_order_is_the_folders():
    sampler = ResumableSampler(range(3), seed=1, shuffle=False)
    assert _epoch(sampler, 2) == [(2, 0), (2, 1), (2, 2)]


@pytest.mark.parametrize(("count", "processes"), [(12, 3), (10, 4), (2, 5)])
def test_processes_share_the_samples_evenly(count, processes):
    shares = [
        list(ResumableSampler(range(count), seed=0, num_replicas=processes, rank=rank))
        for rank in range(processes)
    ]
    assert {len(share) for share in shares} == {-(-count // processes)}
    assert {index for share in shares for _, index in share} == set(range(count))


def test_resuming_skips_once_and_only_in_its_epoch():
    sampler = ResumableSampler(range(10), seed=0)
    whole = _epoch(sampler, 4)
    sampler.resume(4, skipped=6)
    assert len(sampler) == 10
    sampler.set_epoch(4)  # the Trainer says it again
    assert list(sampler) == whole[6:]
    assert list(sampler) == whole
    sampler.resume(4, skipped=6)
    assert len(_epoch(sampler, 5)) == 10


def test_the_loader_refuses_to_resume_another_order():
    def loader(batch_size=2, **changes):
        samples = range(changes.pop("samples", 10))
        sampler = ResumableSampler(samples, **{"seed": 0, **changes})
        return ResumableLoader(samples, batch_size=batch_size, sampler=sampler)

    state = loader().state_dict()
    loader().load_state_dict(state)
    with pytest.raises(ValueError, match="Expected batch size to be 2, but got 4"):
        loader(batch_size=4).load_state_dict(state)
    with pytest.raises(ValueError, match="samples per epoch to be 10, but got 11; seed of the"):
        loader(samples=11, seed=3).load_state_dict(state)
    with pytest.raises(ValueError, match="number of processes to be 1, but got 2"):
        loader(num_replicas=2).load_state_dict(state)
