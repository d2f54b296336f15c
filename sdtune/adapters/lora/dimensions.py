"""Sizes that the tensors of one module must have to be multiplied with each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sdtune._wording import counted
from sdtune.adapters.lora.updates import split_key

__all__ = ["check_dimensions"]

_SEVERAL = (2, 3, 4)  # linear layers and convolutions
_ANY = (1, *_SEVERAL)

_DIMENSIONS: Mapping[str, tuple[int, ...]] = {
    "lora_A": _SEVERAL,
    "lora_B": _SEVERAL,
    "lora_mid": (4,),
    "bias": (1,),
    "dora_scale": _ANY,
    "magnitude": _ANY,
    **{f"hada_w{number}_{end}": (2,) for number in "12" for end in "ab"},
    **{f"hada_t{number}": (4,) for number in "12"},
    "lokr_w1": (2,),
    "lokr_w2": _SEVERAL,
    **{f"lokr_w{number}_{end}": (2,) for number in "12" for end in "ab"},
    "lokr_t2": (4,),
}

# one tensor's side, and that of another which must be as long
_SIDES = (
    ("bias", 0, "lora_B", 0),
    ("lora_mid", 1, "lora_A", 0),
    ("lora_mid", 0, "lora_B", 1),
    ("lokr_w1_a", 1, "lokr_w1_b", 0),
)
# of two factors, and of a core between them
_FACTORS = (
    ("hada_w1_a", "hada_w1_b", "hada_t1"),
    ("hada_w2_a", "hada_w2_b", "hada_t2"),
    ("lokr_w2_a", "lokr_w2_b", "lokr_t2"),
)
# which are multiplied element by element in the end
_TWINS = (("hada_w1_a", "hada_w2_a"), ("hada_w1_b", "hada_w2_b"), ("hada_t1", "hada_t2"))


def check_dimensions(shapes: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """Check that the tensors of each module can be multiplied, before any of them is.

    Whether they fit a model is another question.

    Args:
        shapes: Name of a tensor, in any layout -> its shape; others than a LoRA's are left aside.
        path: The file that holds them, for messages.

    Raises:
        ValueError: If one has too few or too many dimensions, holds nothing, or two do not go
            together; it names the first.
    """
    modules: dict[str, dict[str, str]] = {}
    for name in sorted(shapes):  # a file has them in any order
        if split := split_key(name):
            modules.setdefault(split[0], {})[split[1]] = name
    for names in modules.values():
        fault = _fault({kind: shapes[name] for kind, name in names.items()}, names)
        if fault:
            raise ValueError(f"Expected {path} to be whole, but {fault}: get it again.")


def _fault(shapes: Mapping[str, tuple[int, ...]], names: Mapping[str, str]) -> str:
    """Say what is wrong with a module's tensors, by their kinds; empty if nothing is."""
    for kind, shape in shapes.items():
        allowed = _DIMENSIONS.get(kind)
        if allowed is not None and len(shape) not in allowed:
            wanted = " or ".join(map(str, allowed))
            return f"`{names[kind]}` has {counted(len(shape), 'dimension')} and not {wanted}"
        if 0 in shape:
            return f"`{names[kind]}`, {_sizes(shape)}, holds no number"
        if kind == "alpha" and set(shape) - {1}:
            return f"`{names[kind]}`, {_sizes(shape)}, is more than one number"
    wrong = [
        (first, second)
        for first, side, second, other in (*_SIDES, *_inner_sides(shapes))
        if {first, second} <= shapes.keys() and shapes[first][side] != shapes[second][other]
    ]
    wrong += [
        each for each in _TWINS if {*each} <= shapes.keys() and len({*map(shapes.get, each)}) > 1
    ]
    if not wrong:
        return ""
    first, second = ((names[each], _sizes(shapes[each])) for each in wrong[0])
    return f"`{first[0]}`, {first[1]}, does not go with `{second[0]}`, {second[1]}"


def _inner_sides(shapes: Mapping[str, object]) -> list[tuple[str, int, str, int]]:
    found = [] if "lora_mid" in shapes else [("lora_A", 0, "lora_B", 1)]
    for left, right, core in _FACTORS:
        if core in shapes:
            found += [(core, 0, left, 0), (core, 1, right, 0)]
        else:
            found.append((left, 1, right, 0))
    return found


def _sizes(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
