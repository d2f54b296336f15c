"""Which of the weights of a base in diffusers' layout are read, and what is missing of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Variant", "choose_variant"]

_STEMS = r"(?P<stem>diffusion_pytorch_model|model|pytorch_model)"

# a variant's name stands before or after the number of a file of several
_WEIGHTS = re.compile(
    rf"{_STEMS}(?:\.(?P<variant>[\w-]+?))?(?P<number>-\d+-of-\d+)?(?:\.(?P<late_variant>[\w-]+))?"
    r"\.(?P<form>safetensors|bin)"
)
_INDEX = re.compile(
    rf"{_STEMS}\.(?P<form>safetensors|bin)(?:\.(?P<variant>[\w-]+))?\.index"
    r"(?:\.(?P<late_variant>[\w-]+))?\.json"
)
_FORMS = ("safetensors", "bin")  # as the libraries prefer them

ReadIndex = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True)
class Variant:
    """Which of a base's weights are read.

    Attributes:
        name: Such as `fp16`; None for those without a name.
        without: Parts of which those without a name are read all the same.
        missing: What is not there of them, as a message says it; empty if they can be read.
    """

    name: str | None
    without: frozenset[str]
    missing: tuple[str, ...] = ()


def choose_variant(
    names: Collection[str], parts: Iterable[str], read_index: ReadIndex | None
) -> Variant:
    """Choose a variant of which all files are there: the weights without a name go first.

    Only the files of the variant that is chosen have to be there; what is left of others, such as
    an index of files that were not downloaded, does not matter.

    Args:
        names: All files of the base, by their paths in it.
        parts: Those that have weights.
        read_index: Reads an index of weights in several files; None where it is not downloaded
            yet, and its files are taken to be there.

    Returns:
        The variant. If none is whole, the one that is the nearest, and what it lacks.
    """
    lacking = {part: _lacking(names, part, read_index) for part in parts}
    whole = {part: {v for v, lost in each.items() if not lost} for part, each in lacking.items()}
    for name in _by_preference({None}.union(*whole.values())):
        if all({name, None} & each for each in whole.values()):
            return Variant(name, frozenset(part for part in whole if name not in whole[part]))
    missing: list[str] = []
    for part, each in lacking.items():
        if not each:
            missing.append(f"weights in {part}/")
        elif not whole[part]:
            missing += each[_by_preference(each)[0]]
    if not missing:  # each part is whole in some variant, but not all in one
        named = _by_preference({None}.union(*whole.values()))[1]
        without = (part for part in whole if not {named, None} & whole[part])
        missing = [f"weights of the variant {named} in {part}/" for part in without]
    return Variant(None, frozenset(), tuple(missing))


def _by_preference(variants: Iterable[str | None]) -> list[str | None]:
    return sorted(set(variants), key=lambda each: (each is not None, each != "fp16", each or ""))


def _lacking(
    names: Collection[str], part: str, read_index: ReadIndex | None
) -> dict[str | None, list[str]]:
    """List the variants of a part that are there, each with the files that it lacks."""
    inside = [name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")]
    weights = [match for match in map(_WEIGHTS.fullmatch, inside) if match]
    indices = [match for match in map(_INDEX.fullmatch, inside) if match]
    found: dict[str | None, list[str]] = {}
    for variant in {_variant_of(match) for match in (*weights, *indices)}:
        for form in _FORMS:
            of_form = [
                [each for each in some if each["form"] == form and _variant_of(each) == variant]
                for some in (weights, indices)
            ]
            if any(of_form):
                lost = _lost(inside, part, of_form[0], of_form[1], read_index)
                found[variant] = [f"{part}/{each}" for each in lost]
                break
    return found


def _lost(
    inside: Collection[str],
    part: str,
    weights: Sequence[re.Match[str]],
    indices: Sequence[re.Match[str]],
    read_index: ReadIndex | None,
) -> list[str]:
    """List what is missing of the files of one variant and form, as its library reads them."""
    # one file is read before several, but for diffusers' safetensors
    several_first = (
        not part.startswith("text_encoder") and indices[:1] and indices[0]["form"] != "bin"
    )
    if any(not each["number"] for each in weights) and not several_first:
        return []
    if not indices:
        name = f"{weights[0]['stem']}.{weights[0]['form']}.index"
        return [".".join(filter(None, (name, _variant_of(weights[0]), "json")))]
    if read_index is None:
        return []
    index = min(each[0] for each in indices)
    shards = read_index(f"{part}/{index}").get("weight_map", {})
    return sorted(set(shards.values()) - set(inside))


def _variant_of(match: re.Match[str]) -> str | None:
    return match["variant"] or match["late_variant"]
