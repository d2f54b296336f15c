"""Whether two modules hold the same."""

from __future__ import annotations

from torch import nn

__all__ = ["assert_equal_states"]


def assert_equal_states(one: nn.Module, other: nn.Module) -> None:
    """Assert that the states of two modules have the same names, and values to the last bit.

    Each state is made once: made for each of its tensors it took longer than the training.
    """
    expected, found = one.state_dict(), other.state_dict()
    assert expected.keys() == found.keys()
    assert expected
    different = [name for name, value in expected.items() if not value.equal(found[name])]
    assert not different
