from __future__ import annotations

import gc

import pytest

from sdtune.data.uncollected import uncollected


@uncollected()
def _seen_inside() -> list[bool]:
    with uncollected():
        inner = gc.isenabled()
    return [inner, gc.isenabled()]


@uncollected()
def _fails() -> None:
    raise KeyError


def test_the_collector_is_as_it_was_afterwards_whatever_happens() -> None:
    assert gc.isenabled()
    assert _seen_inside() == [False, False]
    assert gc.isenabled()
    with pytest.raises(KeyError):
        _fails()
    assert gc.isenabled()
