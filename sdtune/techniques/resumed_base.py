"""What a checkpoint says of the base that it was trained on, and whether that is this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from sdtune.models.identity import configurations
from sdtune.models.stable_diffusion import Part, StableDiffusion

__all__ = ["check_base", "note_base"]

_HASHES = "base_sha256"
_CONFIGURATIONS = "base_configurations"


def note_base(model: StableDiffusion, checkpoint: dict[str, Any]) -> None:
    """Write into a checkpoint which base it was trained on.

    Args:
        model: The bundle, with or without adapters.
        checkpoint: Lightning's, which is added to.
    """
    checkpoint[_HASHES] = {part: model.fingerprint(part) for part in get_args(Part)}
    checkpoint[_CONFIGURATIONS] = configurations(model)


def check_base(model: StableDiffusion, base: str, checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another base, or of this one when it was configured otherwise.

    Args:
        model: The bundle, with or without adapters.
        base: What the user typed, for messages.
        checkpoint: Lightning's. Older ones say nothing of the VAE, and nothing of configurations.

    Raises:
        ValueError: If weights differ, or what training follows from besides them.
    """
    if not _is_same(model, checkpoint.get(_HASHES) or {}):
        raise ValueError(
            f"The checkpoint was trained on another base than `{base}`: give `model.base` "
            "the one that its run folder's config.yaml names."
        )
    different = list(_different(checkpoint.get(_CONFIGURATIONS) or {}, configurations(model)))
    if different:
        name, before, now = different[0]
        raise ValueError(
            f"The checkpoint was trained on `{base}` when the configuration of its {name} was "
            f"{before!r}, but it is {now!r} now: write {before!r} into it to resume, or begin anew."
        )


def _is_same(model: StableDiffusion, hashes: Mapping[str, str]) -> bool:
    parts: tuple[Part, ...] = get_args(Part)
    named = [part for part in parts if part in hashes or part != "vae"]
    return hashes.keys() <= {*parts} and all(
        model.has_fingerprint(part, hashes.get(part, "")) for part in named
    )


def _different(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield what both configurations name, and not alike: releases of libraries add names."""
    for part in sorted(before.keys() & now.keys()):
        for name in sorted(before[part].keys() & now[part].keys()):
            if before[part][name] != now[part][name]:
                yield f"{part}'s `{name}`", before[part][name], now[part][name]
