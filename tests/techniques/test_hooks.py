"""A hook of a technique's class calls those of the classes that it is made of."""

from __future__ import annotations

import inspect

import pytest

import sdtune
from sdtune.techniques.base import DiffusionFineTuningModule

_TECHNIQUES = [
    each
    for name in sdtune.__all__
    if inspect.isclass(each := getattr(sdtune, name))
    and issubclass(each, DiffusionFineTuningModule)
]
_CALLED_BY_LIGHTNING = ("on_", "configure_model", "configure_callbacks", "optimizer_step")


@pytest.mark.parametrize("technique", _TECHNIQUES)
def test_no_hook_hides_another(technique: type) -> None:
    own = [each for each in technique.__mro__ if each.__module__.startswith("sdtune.")]
    found = [
        (kind, name, function)
        for number, kind in enumerate(own)
        for name, function in vars(kind).items()
        if name.startswith(_CALLED_BY_LIGHTNING)
        and any(name in vars(below) for below in own[number + 1 :])
    ]
    hidden = [
        f"{kind.__name__}.{name}"
        for kind, name, function in found
        if f"super().{name}(" not in inspect.getsource(function)
    ]
    assert found
    assert hidden == []
