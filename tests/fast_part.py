"""Which rows of a table the fast part of the suite tries: a few of each kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest

__all__ = ["some_fast"]


def some_fast(values: Iterable[Any], fast: Collection[Any]) -> list[Any]:
    """Leave some values of a parametrized test to the whole suite.

    Args:
        values: All of them; a tuple where the test has several parameters.
        fast: Those that the fast part tries too.

    Returns:
        The values, in their order, with the others marked slow.

    Raises:
        ValueError: If one of `fast` is none of them, such as after a change of its name.
    """
    values = list(values)
    missing = [each for each in fast if each not in values]
    if missing:
        raise ValueError(f"Expected {missing} to be among {values}.")
    return [each if each in fast else _slow(each) for each in values]


def _slow(value: Any) -> Any:
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=pytest.mark.slow)
