"""A quick copy is what `copy.deepcopy` makes, down to every attribute of every module."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from sdtune.adapters.lora import add_lora
from sdtune.models import load
from sdtune.models.module_copy import QuicklyCopied

CONSTANTS = (type(None), bool, int, float, str, type, torch.dtype, torch.device, torch.Size)


@pytest.mark.parametrize(
    ("base", "use_dora"),
    [("micro_sd", True), pytest.param("shallow_xl", False, marks=pytest.mark.slow)],
)
def test_it_is_the_copy_that_python_makes(base, use_dora, request, monkeypatch) -> None:
    model = load(request.getfixturevalue(base))
    add_lora(model, rank=2, alpha=2, text_encoder=True, target_modules="all", use_dora=use_dora)
    model.unet.register_forward_hook(model.unet.forward)
    model.unet.mid_block.compile()
    quick = copy.deepcopy(model)
    monkeypatch.delattr(QuicklyCopied, "__deepcopy__")
    expected = copy.deepcopy(model)
    assert spelled(quick) == spelled(expected) == spelled(model)
    assert not mutable(quick) & mutable(model)
    for each in (quick, expected):
        assert each.unet.mid_block._compiled_call_impl is None
        [hook] = each.unet._forward_hooks.values()
        assert hook.__self__ is each.unet


def test_what_is_shared_and_what_copies_itself_stay_so() -> None:
    class Other(nn.Module):
        def __deepcopy__(self, memo: dict[int, Any]) -> Other:
            copied = memo[id(self)] = Other()
            copied.seen = copy.deepcopy(self.seen, memo)
            return copied

    class Slotted(nn.Module):
        __slots__ = ("place",)

    whole = QuicklyCopied()
    whole.other, whole.slotted, whole.first = Other(), Slotted(), nn.Linear(2, 2)
    whole.second = nn.Linear(2, 2)
    whole.second.weight = whole.first.weight
    whole.outside = (nn.Linear(1, 1), {"first": whole.first})
    whole.other.seen = [whole.second, whole.outside]
    whole.slotted.place = whole.outside[0]
    copied = copy.deepcopy(whole)
    assert copied.second.weight is copied.first.weight
    assert copied.first.weight is not whole.first.weight
    assert copied.outside[0] is not whole.outside[0]
    assert copied.outside[1]["first"] is copied.first
    assert copied.other.seen == [copied.second, copied.outside]
    assert copied.slotted.place is copied.outside[0]

    known = nn.Parameter(torch.zeros(2, 2))
    given = copy.deepcopy(whole, {id(whole.first.weight): known, id(whole.other): whole.other})
    assert given.first.weight is given.second.weight is known
    assert given.other is whole.other


def spelled(module: nn.Module) -> list[Any]:
    """Spell all attributes of all modules, with a number for each object that is met again."""
    numbers: dict[int, int] = {}

    def spell(value: Any) -> Any:
        kind = type(value).__name__
        if isinstance(value, CONSTANTS):
            return value
        if id(value) in numbers:
            return numbers[id(value)]
        numbers[id(value)] = len(numbers)
        if isinstance(value, torch.Tensor):
            rest = (value.requires_grad, value.dtype, value.stride(), value.sum().item())
            return (kind, value.shape, *rest)
        if isinstance(value, nn.Module):
            value = value.__getstate__()
        if isinstance(value, dict):
            return kind, [(key, spell(each)) for key, each in value.items()]
        if isinstance(value, list | tuple):
            return kind, [spell(each) for each in value]
        return kind

    return [(name, spell(each)) for name, each in module.named_modules()]


def mutable(module: nn.Module) -> set[int]:
    """List the places of all that one of two copies could change in the other."""
    found: set[int] = set()
    for each in module.modules():
        for value in (each, *each.__getstate__().values()):
            if isinstance(value, nn.Module | dict | list | set):
                found.add(id(value))
    tensors = [*module.parameters(), *module.buffers()]
    return found | {each.data_ptr() for each in tensors if each.numel()} | {*map(id, tensors)}
