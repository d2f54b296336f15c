from __future__ import annotations

import pytest
import torch

from sdtune.functional.randomness import (
    Stream,
    counter_generator,
    counter_rand,
    counter_randint,
    counter_randn,
    counter_uniform,
    isolated_random_state,
)


def test_streams_keep_their_numbers() -> None:
    """A seed means the same pictures in the next version."""
    assert [(stream.name, stream.value) for stream in Stream][:8] == [
        ("NOISE", 0),
        ("TIMESTEP", 1),
        ("POSTERIOR", 2),
        ("OFFSET", 3),
        ("CAPTION_DROPOUT", 4),
        ("FLIP", 5),
        ("CROP", 6),
        ("ORDER", 7),
    ]


def test_draws_keep_their_values() -> None:
    assert counter_uniform(42, Stream.FLIP, 3, 7) == 0.26165245244652413
    assert counter_randint(0, 1000, 42, Stream.TIMESTEP, 0, [0, 1, 2]).tolist() == [107, 918, 209]
    noise = counter_randn((2,), 42, Stream.NOISE, 0, [5])
    torch.testing.assert_close(noise, torch.tensor([[0.0520, 0.4455]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("other", [(43, 0, 5, 9), (42, 1, 5, 9), (42, 0, 6, 9), (42, 0, 5, 10)])
def test_every_counter_matters(other: tuple[int, ...]) -> None:
    assert counter_uniform(42, 0, 5, 9) != counter_uniform(*other)
    one = torch.randn(8, generator=counter_generator(42, 0, 5, 9))
    two = torch.randn(8, generator=counter_generator(*other))
    assert not torch.equal(one, two)


def test_a_generator_starts_afresh() -> None:
    first = torch.randn(8, generator=counter_generator(1, 2))
    assert torch.equal(first, torch.randn(8, generator=counter_generator(1, 2)))


@pytest.mark.parametrize("seed", [0, -1, 2**63, 2**64 - 1])
def test_any_64_bit_seed_is_taken(seed: int) -> None:
    assert 0.0 <= counter_uniform(seed, -3) < 1.0
    counter_generator(seed, -3)


def test_a_sample_s_noise_does_not_depend_on_its_batch() -> None:
    together = counter_randn((4, 8, 8), 0, Stream.NOISE, 2, [11, 3, 7])
    alone = counter_randn((4, 8, 8), 0, Stream.NOISE, 2, torch.tensor([7]))
    assert torch.equal(together[2:], alone)


def test_neighbouring_samples_are_unrelated_and_normal() -> None:
    noise = counter_randn((64,), 0, Stream.NOISE, 0, range(512))
    correlation = (noise[1:] * noise[:-1]).mean()
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1.0) < 0.02
    assert abs(correlation) < 0.02


def test_integers_fill_their_range_evenly() -> None:
    draws = counter_randint(5, 9, 0, Stream.TIMESTEP, 0, range(4000))
    assert draws.dtype == torch.int64
    counts = torch.bincount(draws, minlength=9)
    assert counts[:5].sum() == 0
    assert (counts[5:] - 1000).abs().max() < 120  # 4 standard deviations


def test_uniform_numbers_fill_the_unit_interval() -> None:
    scalars = torch.tensor([counter_uniform(0, Stream.FLIP, 0, index) for index in range(4000)])
    tensor = counter_rand((3,), 0, Stream.CROP, 0, range(1000))
    assert tensor.shape == (1000, 3)
    for draws in (scalars, tensor):
        assert draws.min() >= 0.0
        assert draws.max() < 1.0
        assert abs(draws.mean() - 0.5) < 0.02
        assert abs(draws.var() - 1 / 12) < 0.005


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValueError, match="`high` to be above `low`, but got 5 and 5"):
        counter_randint(5, 5, 0, Stream.TIMESTEP, 0, [0])


def test_the_global_state_is_left_alone() -> None:
    before = torch.get_rng_state()
    counter_randn((4,), 0, Stream.NOISE, 0, [0])
    counter_rand((), 0, Stream.NOISE, 0, [0])
    counter_randint(0, 9, 0, Stream.NOISE, 0, [0])
    assert torch.equal(before, torch.get_rng_state())


def test_draws_inside_an_isolated_state_are_forgotten() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with isolated_random_state():
        torch.rand(3)
        torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)
