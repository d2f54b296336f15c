"""The name of a base in caches: a hash of all that what it computes follows from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, get_args

from sdtune.models.quantization import quantized_layers
from sdtune.models.stable_diffusion import Part, StableDiffusion
from sdtune.models.trained_schedule import SCHEDULE_KEYS

__all__ = ["configurations", "drawing_identity", "identity"]

# what a configuration says of where it comes from, of training, and of what follows from the shapes
# of the weights; names that begin with `_` are such too
_CHANGES_NOTHING = frozenset(
    {
        "architectures",
        "attention_dropout",
        "dropout",
        "dtype",
        "id2label",
        "initializer_factor",
        "initializer_range",
        "label2id",
        "model_type",
        "output_attentions",
        "output_hidden_states",
        "problem_type",
        "return_dict",
        "torch_dtype",
        "transformers_version",
        "use_cache",
        "vocab_size",
    }
)


def identity(model: StableDiffusion, part: Part | None = None) -> str:
    """Name a base, or a part of it, by all that decides what it computes.

    Its weights decide it, and with the same weights their configurations, the tokenizers, what is
    rounded to fewer bits, the noise schedule and the base's own settings. Copies of one base have
    one name, in a folder or a single file. Adapters and new words do not change it, nor does the
    type of the weights, which a cache says beside it.

    Args:
        model: The bundle, with or without adapters.
        part: `unet`, `vae`, or `text_encoders` with their tokenizers; None is all of it.

    Returns:
        SHA-256 in hexadecimal.
    """
    parts = get_args(Part) if part is None else (part,)
    told: dict[str, Any] = {each: _about(model, each) for each in parts}
    if part is None:
        told["noise_scheduler"] = _essential(model.noise_scheduler.config)
        told["settings"] = model.settings
    text = json.dumps(told, sort_keys=True, default=repr)
    return sha256(text.encode(errors="surrogateescape")).hexdigest()


def drawing_identity(model: StableDiffusion) -> dict[str, Any]:
    """Say all that pictures follow from besides prompts, seeds, size and sampler.

    Args:
        model: The bundle, with or without adapters, which do not count.

    Returns:
        What JSON can hold.
    """
    return {
        "base": identity(model),
        "precision": [str(model.dtype), str(model.vae.dtype)],
        "max_prompt_chunks": model.max_prompt_chunks,
    }


def configurations(model: StableDiffusion) -> dict[str, dict[str, Any]]:
    """Say what a base is configured with, as far as training follows from it besides weights.

    Args:
        model: The bundle, with or without adapters.

    Returns:
        Name of a part, as diffusers' pipelines name it -> names and values, as JSON holds them.
    """
    noise_scheduler: Mapping[str, Any] = model.noise_scheduler.config
    told = {
        "scheduler": {key: noise_scheduler.get(key) for key in SCHEDULE_KEYS},
        "unet": _configurations(model, "unet")[0],
        "vae": _configurations(model, "vae")[0],
        "pipeline": dict(model.settings),
    }
    names = model.family.text_encoder_names
    told |= zip(names, _configurations(model, "text_encoders"), strict=True)
    plain: dict[str, dict[str, Any]] = json.loads(json.dumps(told, default=repr))
    return plain


def _about(model: StableDiffusion, part: Part) -> dict[str, Any]:
    about: dict[str, Any] = {
        "weights": model.fingerprint(part),
        "configurations": _configurations(model, part),
        "quantized": [quantized_layers(each) for each in _modules(model, part)],
    }
    if part == "vae":
        return about
    about["family"] = model.family.name  # it encodes prompts, and hands them to the UNet
    if part == "text_encoders":
        about["tokenizers"] = model.tokenizer_fingerprints()
    return about


def _modules(model: StableDiffusion, part: Part) -> list[Any]:
    found: Any = getattr(model, part)
    return list(found) if part == "text_encoders" else [found]


def _configurations(model: StableDiffusion, part: Part) -> list[dict[str, Any]]:
    found = [_essential(each.config) for each in _modules(model, part)]
    if part == "vae":
        # in tiles alone it matters how large pictures it was trained on
        found[0].pop("sample_size", None)
    return found


def _essential(config: Any) -> dict[str, Any]:
    """Leave out of a configuration what changes nothing that is computed with given weights."""
    values: Mapping[str, Any] = config.to_dict() if hasattr(config, "to_dict") else config
    return {
        name: value
        for name, value in values.items()
        if name not in _CHANGES_NOTHING and not name.startswith("_")
    }
