"""LoRAs added with weights, reduced to a lower rank, and taken from the difference of two bases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from sdtune.adapters import registry
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.arithmetic import (
    Kept,
    Pair,
    Pairs,
    added,
    cut,
    kept,
    put_pairs,
    take_pairs,
)
from sdtune.adapters.lora.layers import find_targets, tunable_parts
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.verification import frozen_copy
from sdtune.adapters.whole_model import bake, check_bakeable
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.layers import remove_token_embeddings
from sdtune.adapters.writing import load_files, put_words
from sdtune.functional.low_rank import singular_values
from sdtune.models.loading import check_base, load
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["extract_lora", "merge_loras", "resize_lora"]

# what rounding to half precision changes at most, of a weight and of one near zero
_ROUNDING, _SMALLEST = 2.0**-11, 2.0**-24


def merge_loras(
    base: str | Path,
    adapters: Sequence[str | Path],
    weights: Sequence[float] | None = None,
    rank: int | None = None,
) -> tuple[AdapterSet, StableDiffusion, Kept | None]:
    """Add LoRAs into one, exactly unless a rank is given; words that go with them are gathered.

    Args:
        base: What they are for, see `load`.
        adapters: One or more, as `find_adapter_files` finds them.
        weights: What each is multiplied by; None for 1.
        rank: The sum is reduced to it by singular values; None adds the ranks and loses nothing.

    Returns:
        The adapters, a model that holds them, and how much was kept; None of an exact sum.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If one is no LoRA, is for another kind of base, or two have a word in common.
    """
    given = [1.0] * len(adapters) if weights is None else list(weights)
    if len(given) != len(adapters) or not adapters:
        raise ValueError(
            f"Expected `weights` to be one for each of {len(adapters)} adapters, but got "
            f"{len(given)}."
        )
    _check_size(rank, 1.0)
    files = [find_adapter_files(each) for each in adapters]
    words = _words(files)
    model = load(base)
    loras = [_read(model, each, paths) for each, paths in zip(adapters, files, strict=True)]
    merged: Pairs = added(loras, given)
    left = None
    if rank is not None:
        merged, left = cut(merged, rank)
    return (*_put(model, words, merged), left)


def resize_lora(
    base: str | Path, adapter: str | Path, rank: int | None = None, share: float = 1.0
) -> tuple[AdapterSet, StableDiffusion, Kept]:
    """Reduce a LoRA to a lower rank by singular values; words that go with it stay.

    Args:
        base: What it is for, see `load`.
        adapter: As `find_adapter_files` finds it.
        rank: No module has more.
        share: In (0, 1]: each module has the least rank that keeps this share of its sum of
            squares.

    Returns:
        The adapters, a model that holds them, and how much was kept.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If it is no LoRA, or `rank` or `share` is out of its range.
    """
    _check_size(rank, share)
    if rank is None and share == 1.0:
        raise ValueError("Expected `rank` or `share` to be given, but neither is.")
    files = find_adapter_files(adapter)
    model = load(base)
    smaller, left = cut(_read(model, adapter, files), rank, share)
    return (*_put(model, _words([files]), smaller), left)


def extract_lora(
    base: str | Path, tuned: str | Path, rank: int | None = None, share: float = 1.0
) -> tuple[AdapterSet, StableDiffusion, Kept]:
    """Find the LoRA that is nearest to what tuning did to a base.

    Each linear layer and convolution that a LoRA can tune, and that differs by more than rounding
    to half precision, gets the singular vectors of its difference.

    Args:
        base: What was tuned, see `load`.
        tuned: Another base of its architecture; or an adapter of the base, such as a UNet that was
            tuned as a whole, a DoRA or a LoHa. Its learned words stay beside the LoRA.
        rank: No module has more.
        share: In (0, 1], of each module's sum of squares.

    Returns:
        The adapters, a model that holds them, and how much was kept of all that differs, what a
        LoRA cannot hold (norms, biases, embeddings) included.

    Raises:
        ValueError: If the two are of different architectures or do not differ, or `rank` or
            `share` is out of its range.
    """
    _check_size(rank, share)
    if rank is None and share == 1.0:
        raise ValueError("Expected `rank` or `share` to be given, but neither is.")
    model = load(base)
    other, words = _load_tuned(base, tuned)
    found: dict[str, dict[str, Pair]] = {}
    squares: dict[str, tuple[float, float]] = {}
    others = tunable_parts(other)
    for part, module in tunable_parts(model).items():
        for name, difference, is_target in _differences(module, others[part], part):
            whole = float(difference.double().square().sum())
            if not is_target:
                squares[f"{part}.{name}"] = (0.0, whole)
                continue
            values = singular_values(difference.flatten(1))
            size = min(rank or len(values.values), values.rank_of(share))
            pair = _pair(values.truncated(size), difference)
            found.setdefault(part, {})[name] = pair
            squares[f"{part}.{name}"] = (values.square(size), whole)
    if not found:
        raise ValueError(
            f"Expected {tuned} to differ from {base} in what a LoRA can tune, but it does not."
        )
    return (*_put(model, words, found), kept(squares, found))


def _check_size(rank: int | None, share: float) -> None:
    if rank is not None and rank < 1:
        raise ValueError(f"Expected `rank` to be a positive integer, but got {rank}.")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"Expected `share` to be above 0 and at most 1, but got {share}.")


def _words(files: Sequence[Sequence[Path]]) -> list[TokenEmbeddingAdapter]:
    words = [word for paths in files for word in registry.read_words(paths)]
    counts = Counter(word.placeholder_token for word in words)
    twice = [word for word, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"Expected adapters of different words, but {', '.join(f'`{w}`' for w in twice)} is in "
            "more than one."
        )
    return words


def _read(model: StableDiffusion, adapter: str | Path, files: Sequence[Path]) -> Pairs:
    kinds = [registry.recognise(path).adapter_type for path in files]
    others = [kind.kind for kind in kinds if not kind.loads_first and kind is not LoRAAdapter]
    if others or LoRAAdapter not in kinds:
        what = others[0] if others else "learned words alone"
        raise ValueError(f"Expected {adapter} to be a LoRA, but it is {what}.")
    own = frozen_copy(model)
    load_files(own, files)
    return take_pairs(own, adapter)


def _put(
    model: StableDiffusion, words: Sequence[TokenEmbeddingAdapter], lora: Pairs
) -> tuple[AdapterSet, StableDiffusion]:
    put_words(model, words)
    put_pairs(model, lora)
    return AdapterSet(*words, LoRAAdapter.from_model(model)), model


def _load_tuned(
    base: str | Path, tuned: str | Path
) -> tuple[StableDiffusion, list[TokenEmbeddingAdapter]]:
    """Load what was tuned as a whole model; the words of an adapter stay words."""
    try:
        check_base(tuned)
    except ValueError as error:
        try:
            files = find_adapter_files(tuned)
        except FileNotFoundError:
            raise error from None
    else:
        return load(tuned), []
    check_bakeable(files)
    model = load(base)
    words = registry.read_words(files)
    own = frozen_copy(model)
    load_files(own, files)
    bake(own)
    remove_token_embeddings(own)
    return own, words


@torch.no_grad()
def _differences(
    base: nn.Module, tuned: nn.Module, part: str
) -> Iterator[tuple[str, Tensor, bool]]:
    """Yield what differs: a module's name with its weight's difference, or that of a parameter."""
    ends = tuple(f".{end}" for end in find_targets({part: base}, "all")[part])
    before, after = dict(base.named_parameters()), dict(tuned.named_parameters())
    if before.keys() != after.keys():
        names = sorted(before.keys() ^ after.keys())
        raise ValueError(f"Expected bases of one architecture, but one has no {part}.{names[0]}.")
    for name, weight in before.items():
        if weight.shape != after[name].shape:
            raise ValueError(
                f"Expected bases of one architecture, but their `{part}.{name}` are of shapes "
                f"{tuple(weight.shape)} and {tuple(after[name].shape)}."
            )
        difference = after[name] - weight
        if bool((difference.abs() <= weight.abs() * _ROUNDING + _SMALLEST).all()):
            continue
        module = name.removesuffix(".weight")
        is_target = name.endswith(".weight") and f".{module}".endswith(ends)
        yield (module if is_target else name), difference, is_target


def _pair(pair: tuple[Tensor, Tensor], weight: Tensor) -> Pair:
    down, up = pair
    kernel = cast("tuple[int, ...]", tuple(weight.shape[1:]))
    ones = (1,) * (len(kernel) - 1)
    return down.reshape(-1, *kernel).contiguous(), up.reshape(len(weight), -1, *ones).contiguous()
