import torch

from sdtune.adapters.random_state import isolated_random_state


def test_draws_inside_are_forgotten():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with isolated_random_state():
        torch.rand(3)
        torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state)
