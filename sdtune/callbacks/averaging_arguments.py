"""By which arguments a callback averages the weights, as far as it still knows them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import getclosurevars, isfunction, signature, unwrap
from typing import Any

from lightning.pytorch.callbacks import WeightAveraging

__all__ = ["averages_of", "without_arguments"]

_FUNCTIONS = ("avg_fn", "multi_avg_fn")


def averages_of(callbacks: list[Any]) -> list[str]:
    """Name the callbacks that average the weights, such as `EMAWeightAveraging(decay=0.99)`.

    Args:
        callbacks: Of a Trainer.

    Returns:
        Their classes, each with its arguments, sorted.
    """
    averaging = (each for each in callbacks if isinstance(each, WeightAveraging))
    return sorted(
        f"{type(each).__name__}({', '.join(sorted(_arguments(each)))})" for each in averaging
    )


def without_arguments(averages: list[str]) -> list[str]:
    """Name them as earlier versions did in their checkpoints: by their classes alone.

    Args:
        averages: What `averages_of` has named.
    """
    return sorted(each.partition("(")[0] for each in averages)


def _arguments(averaging: WeightAveraging) -> Iterator[str]:
    names = {each for kind in type(averaging).__mro__ for each in signature(kind).parameters}
    # what else is kept may change as it averages, and from one call to the next
    values = {name: each for name, each in vars(averaging).items() if name in names}
    for name in _FUNCTIONS:
        function = averaging._kwargs.get(name)
        if isfunction(function):  # the decay is in nothing but the function that was made of it
            made_of = getclosurevars(unwrap(function)).nonlocals
            values |= made_of or {name: function.__name__}
    for name, value in values.items():
        if isinstance(value, bool | int | float | str):
            yield f"{name}={value}"
