"""Every tensor of a LoRA's file finds its module, or the file is refused with what did not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from torch import Tensor, nn

from sdtune._wording import counted
from sdtune.adapters.lora.base_kind import guess_family
from sdtune.adapters.lora.dimensions import check_dimensions
from sdtune.adapters.lora.names import find_module, spellings
from sdtune.adapters.lora.peft_sizes import least_rank
from sdtune.adapters.lora.updates import ModuleUpdate, split_key, update_of

__all__ = ["AlphaOf", "Updates", "read_updates"]

Updates = dict[str, dict[str, ModuleUpdate]]
"""Part, as `tunable_parts` names it -> module -> what its weight changes by."""

AlphaOf = Callable[[str, str, int], float | None]
"""Part, module, and rank -> alpha, or None if it is not said.

Of rank 0, which matrices in full are, it is alpha / rank.
"""


def read_updates(
    tensors: Mapping[str, Tensor],
    parts: Mapping[str, nn.Module],
    path: Path,
    layout: str,
    base: str = "this base",
    *,
    part: str = "",
    alpha_of: AlphaOf = lambda part, module, rank: None,
) -> Updates:
    """Sort a file's tensors by the modules of a model that they belong to.

    Args:
        tensors: Name -> tensor, all of the file.
        parts: As `tunable_parts` names them; on the meta device, too.
        path: Where they come from, for messages.
        layout: What the layout is called there.
        base: What the model is called there.
        part: The part that they are of, where the names do not tell.
        alpha_of: Alphas that are written elsewhere than in tensors.

    Returns:
        Updates that fit the model.

    Raises:
        ValueError: If one tensor has no place in the model, or not all fit together; it names the
            first, what the file is, and what to do.
    """
    refusal = _Refusal(path, layout, base, tensors)
    if not tensors:
        raise ValueError(f"Expected {path} to be a LoRA, but it holds no tensor.")
    known = spellings(parts)
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    homeless = []
    for key, tensor in tensors.items():
        split = split_key(key)
        place = None if split is None else find_module(split[0], known, part)
        if split is None or place is None:
            homeless.append(key)
            continue
        kinds, kind = found.setdefault(place, {}), split[1]
        if kind in kinds:
            raise refusal(f"it holds `{kind}` of the {place[0]}'s `{place[1]}` twice")
        kinds[kind] = tensor
    if homeless:
        raise refusal(
            f"{len(homeless)} of its {counted(len(tensors), 'tensor')} "
            f"{'has' if len(homeless) == 1 else 'have'} no place in it, such as `{homeless[0]}`"
        )
    check_dimensions({key: tuple(tensor.shape) for key, tensor in tensors.items()}, path)
    updates: Updates = {}
    for (name, module), kinds in found.items():
        update = _update(refusal, name, module, kinds, alpha_of)
        weight = cast(Tensor, parts[name].get_submodule(module).weight)
        _check_size(refusal, module, update, tuple(weight.shape))
        kernel = weight[0, 0].numel()
        updates.setdefault(name, {})[module] = replace(update, kernel=kernel)
    _check_together(refusal, updates)
    return updates


class _Refusal:
    """Makes the one sentence that says why a file is not loaded, and what it is.

    Args:
        path: The file.
        layout: What its layout is called.
        base: What the model is called.
        tensors: All that it holds.
    """

    def __init__(self, path: Path, layout: str, base: str, tensors: Mapping[str, Tensor]) -> None:
        self.path, self.layout, self.base, self.tensors = path, layout, base, tensors

    def __call__(self, reason: str) -> ValueError:
        family = guess_family({name: tensor.shape for name, tensor in self.tensors.items()})
        return ValueError(
            f"Expected {self.path}, a {self.layout} file for {family}, to fit the architecture of "
            f"{self.base}, but {reason}: give the base that it was trained on."
        )


def _update(
    refusal: _Refusal,
    part: str,
    module: str,
    kinds: Mapping[str, Tensor],
    alpha_of: AlphaOf,
) -> ModuleUpdate:
    try:
        return update_of(kinds, lambda rank: alpha_of(part, module, rank))
    except ValueError as error:
        raise refusal(f"in the {part}'s `{module}` {error}") from error


def _check_size(
    refusal: _Refusal, module: str, update: ModuleUpdate, shape: tuple[int, ...]
) -> None:
    columns = 1
    for side in shape[1:]:
        columns *= side
    if update.size != (shape[0], columns):
        raise refusal(
            f"its `{module}` is {update.size[0]} x {update.size[1]} and not {shape[0]} x {columns}"
        )
    inner = update.tensors
    if update.adapter_type == "lora" and inner["lora_B"][0].numel() != len(inner["lora_A"]):
        raise refusal(f"the two matrices of its `{module}` are of different ranks")
    magnitude = inner.get("magnitude")
    if magnitude is not None and magnitude.numel() != shape[0]:
        raise refusal(
            f"its `{module}` has {magnitude.numel()} magnitudes (DoRA) for {shape[0]} outputs"
        )


def _check_together(refusal: _Refusal, updates: Updates) -> None:
    every = [each for modules in updates.values() for each in modules.values()]
    kinds = sorted({each.adapter_type for each in every})
    if len(kinds) > 1:
        raise refusal(f"it holds modules of {' and '.join(kinds)}, of which one is read")
    for name, modules in updates.items():
        for kind in ("magnitude", "bias"):
            having = [kind in each.tensors for each in modules.values()]
            if any(having) and not all(having):
                raise refusal(f"some of its modules of the {name} have a {kind} and some have none")
        if kinds == ["lokr"]:
            _give_whole_ones_a_rank(modules)


def _give_whole_ones_a_rank(modules: MutableMapping[str, ModuleUpdate]) -> None:
    """Give LoKrs of two whole matrices the rank of the others: PEFT scales all layers by a rank."""
    whole = {
        name: each
        for name, each in modules.items()
        if {"lokr_w1", "lokr_w2"} <= each.tensors.keys()
    }
    ranks = [each.rank for name, each in modules.items() if name not in whole]
    for name, each in whole.items():
        rank = min(ranks) if ranks else max(map(least_rank, whole.values()))
        modules[name] = replace(each, rank=rank, alpha=each.alpha / each.rank * rank)
