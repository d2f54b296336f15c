"""A picture's settings as A1111 writes them, so that other programs show and reuse them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sdtune.drawing.settings import PictureSettings
from sdtune.models.noise_schedulers import name_elsewhere

__all__ = ["KEYWORD", "parameters_text"]

KEYWORD = "parameters"
"""Of the text in a PNG's header."""

_MUST_BE_QUOTED = (",", "\n", ":")


def parameters_text(
    settings: PictureSettings,
    *,
    model_hash: str = "",
    lora_hashes: Mapping[str, str] | None = None,
    words: Mapping[str, str] | None = None,
) -> str:
    """Write a picture's settings as A1111 does: prompt, negative prompt, and a line of the rest.

    Args:
        settings: Of a picture that was drawn, with its size.
        model_hash: The first ten digits of the base's hash.
        lora_hashes: Name of each adapter that A1111 loads as a LoRA -> the first twelve digits of
            the hash that it takes of the tensors.
        words: Word of the prompt -> what is written in its place there.

    Returns:
        The text for the keyword `parameters`.
    """
    loras = lora_hashes or {}
    prompt = settings.prompt
    for word, written in (words or {}).items():
        prompt = prompt.replace(word, written)
    for each in settings.adapters:
        if each.name in loras:
            prompt += f" <lora:{each.name}:{each.strength:g}>"
    lines = [prompt]
    if settings.negative_prompt:
        lines.append(f"Negative prompt: {settings.negative_prompt}")
    rest = ", ".join(f"{name}: {_quoted(value)}" for name, value in _rest(settings, model_hash))
    if loras:
        rest += f", Lora hashes: {_quoted(', '.join(f'{n}: {h}' for n, h in loras.items()))}"
    return "\n".join([*lines, f"{rest}, Version: sdtune"])


def _rest(settings: PictureSettings, model_hash: str) -> list[tuple[str, str]]:
    sampler, schedule = name_elsewhere(settings.sampler)
    rest = {
        "Steps": str(settings.num_inference_steps),
        "Sampler": sampler,
        "Schedule type": schedule,
        "CFG scale": f"{settings.guidance_scale:g}",
        "Seed": str(settings.seed),
        "Size": f"{settings.width}x{settings.height}",
        "Model hash": model_hash,
        "Model": _model_name(settings.base.source),
        "Clip skip": "" if settings.clip_skip == 1 else str(settings.clip_skip),
    }
    return [(name, value) for name, value in rest.items() if value]


def _model_name(source: str) -> str:
    """Name a base as A1111 does, by its file without suffix, free of what separates values."""
    name = source.rpartition("/")[2]
    for suffix in (".safetensors", ".ckpt"):
        name = name.removesuffix(suffix)
    return name.replace(",", "").replace(":", "")


def _quoted(value: str) -> str:
    is_plain = not any(each in value for each in _MUST_BE_QUOTED)
    return value if is_plain else json.dumps(value, ensure_ascii=False)
