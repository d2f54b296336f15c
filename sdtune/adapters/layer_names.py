"""The modules of a LoRA, read out of the names of a file's tensors, whatever its layout."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sdtune.adapters.lora.peft_config import alpha_of_module

__all__ = ["LayerGroup", "folded", "is_of_module", "layers", "width_attended"]

# the end of a tensor's name that tells what it is of a module; the first that fits
_ENDS = (
    (re.compile(r"[._]lora[._]?(?:linear_layer\.)?(?:down|A)(?:\.default)?(?:\.weight)?$"), "LoRA"),
    (re.compile(r"\.hada_w1_a$"), "LoHa"),
    (re.compile(r"\.lokr_w2(?:_b)?$"), "LoKr"),
)
_OTHER_ENDS = re.compile(
    r"[._](?:lora[._]?(?:linear_layer\.)?(?:up|mid|B)(?:\.default)?(?:\.weight|\.bias)?|alpha|"
    r"dora_scale|lora_magnitude_vector(?:\.weight)?|hada_\w+|lokr_\w+|diff|diff_b)$"
)
_PARTS = (
    ("text_encoder_2", re.compile(r"^(?:lora_te2_|text_encoder_2\.)")),
    ("text_encoder", re.compile(r"^(?:lora_te1?_|text_encoder\.|te1?_)")),
    ("unet", re.compile(r"^(?:lora_unet_|lycoris_|unet\.)")),
)

Layer = tuple[str, str, str, int | None, float | None]
"""Part, module, kind, rank and alpha."""


@dataclass(frozen=True)
class LayerGroup:
    """Modules of like names, rank and alpha.

    Attributes:
        part: `unet`, `text_encoder` or `text_encoder_2`.
        names: What their names have in common, with `*` for numbers.
        kind: `LoRA`, `LoHa` or `LoKr`.
        rank: Inner dimension; None if the file does not show it.
        alpha: The update is scaled by alpha / rank.
        count: How many modules these are.
    """

    part: str
    names: str
    kind: str
    rank: int | None
    alpha: float | None
    count: int


def layers(
    shapes: Mapping[str, tuple[int, ...]],
    alphas: Mapping[str, float],
    configs: Mapping[str, Mapping[str, Any]],
) -> Iterator[Layer]:
    """Yield the modules that a file changes.

    Args:
        shapes: Name of a tensor -> shape.
        alphas: Module -> alpha, where it is a tensor.
        configs: Part -> PEFT's configuration, where there is one.
    """
    for name in shapes:
        for end, kind in _ENDS:
            if not end.search(name):
                continue
            module = end.sub("", name)
            part, short = _part_of(module)
            rank = _rank(kind, name, shapes)
            alpha = alphas.get(module)
            if alpha is None and part in configs:
                written = short.replace(".processor", "")  # a level of diffusers' first names
                alpha = alpha_of_module(configs[part], written, rank or 1)
            yield part, short, kind, rank, float(rank) if alpha is None and rank else alpha


def _rank(kind: str, name: str, shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    if kind == "LoHa":  # the other factor: of a core, this one's sides are the other way round
        shape = shapes.get(f"{name.removesuffix('a')}b", ())
    elif kind == "LoKr" and not name.endswith("_b"):  # a full second factor has no rank
        shape = shapes.get(name.replace("lokr_w2", "lokr_w1_b"), ())
    else:
        shape = shapes[name]
    return shape[0] if shape else None


def _part_of(module: str) -> tuple[str, str]:
    for part, prefix in _PARTS:
        if prefix.match(module):
            return part, prefix.sub("", module)
    return ("text_encoder" if "text_model" in module else "unet"), module


def folded(
    found: Iterable[Layer],
) -> list[LayerGroup]:
    """Put modules together whose names differ in numbers, and then those that differ in the end.

    Args:
        found: What `layers` gives.
    """
    counts: dict[Layer, int] = {}
    for part, module, kind, rank, alpha in found:
        key = (part, re.sub(r"(?<![a-zA-Z])\d+(?![a-zA-Z])", "*", module), kind, rank, alpha)
        counts[key] = counts.get(key, 0) + 1
    groups: dict[Layer, list[tuple[str, int]]] = {}
    for (part, name, kind, rank, alpha), count in counts.items():
        stem, last = _split(name)
        groups.setdefault((part, stem, kind, rank, alpha), []).append((last, count))
    return [
        LayerGroup(part, _joined(stem, ends), kind, rank, alpha, sum(count for _, count in ends))
        for (part, stem, kind, rank, alpha), ends in groups.items()
    ]


def _split(name: str) -> tuple[str, str]:
    """Split a name before what tells modules of one block apart."""
    match = re.search(
        r"[._](?:to_(?:q|k|v|out(?:[._]\*)?)|[qkv]_proj|out_proj|(?:mlp[._])?fc\*?\d?|"
        r"proj_(?:in|out)|ff[._]net[._].*|conv\w*|time_emb_proj)$",
        name,
    )
    return (name[: match.start()], name[match.start() :]) if match else (name, "")


def _joined(stem: str, ends: list[tuple[str, int]]) -> str:
    names = sorted(end for end, _ in ends)
    if len(names) == 1:
        return stem + names[0]
    return f"{stem}{names[0][0]}{{{', '.join(name[1:] for name in names)}}}"


def is_of_module(name: str) -> bool:
    """Tell whether a tensor's name is one that some layout of a LoRA has."""
    return bool(_OTHER_ENDS.search(name)) or any(end.search(name) for end, _ in _ENDS)


def width_attended(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Give the width of what the UNet attends to, if keys or values of it are changed.

    Args:
        shapes: Name of a tensor -> shape.
    """
    for name, shape in shapes.items():
        is_down = any(end.search(name) and kind == "LoRA" for end, kind in _ENDS)
        if is_down and len(shape) > 1 and re.search(r"attn2[._](?:processor\.)?to_[kv]", name):
            return shape[1]
    return None
