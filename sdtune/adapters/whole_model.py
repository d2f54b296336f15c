"""Adapters worked into their base: a whole model again, in diffusers' layout or in one file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file

from sdtune.adapters import registry
from sdtune.adapters.keys_values.adapter import CrossAttentionAdapter
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.verification import check_same_output, evaluating, prediction
from sdtune.files import tensor_file
from sdtune.files.atomic_file import replaced_atomically
from sdtune.models.loading import load, load_tokenizers
from sdtune.models.older_names import name_for_older_releases
from sdtune.models.original_layout import model_spec, original_weights
from sdtune.models.single_file import find_single_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["bake", "check_bakeable", "merge_into_base", "write_whole_model"]

log = logging.getLogger(__name__)

_SUFFIX = ".safetensors"


def merge_into_base(
    base: str | Path, adapters: Sequence[str | Path], weights: Sequence[float] | None = None
) -> StableDiffusion:
    """Work adapters into their base.

    Args:
        base: What they were trained on, see `load`.
        adapters: One or more of any kind, as `find_adapter_files` finds them.
        weights: What each LoRA is multiplied by; None for 1.

    Returns:
        A bundle without adapters that does what the base does with all of them. Learned words are
        in its vocabulary.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If one is for another kind of base, or its kind cannot be worked in or weighed.
    """
    given = [1.0] * len(adapters) if weights is None else list(weights)
    if len(given) != len(adapters) or not adapters:
        raise ValueError(
            f"Expected `weights` to be one for each of {len(adapters)} adapters, but got "
            f"{len(given)}."
        )
    files = [find_adapter_files(each) for each in adapters]
    for paths, weight in zip(files, given, strict=True):
        check_bakeable(paths, weight)
    model = load(base)
    for paths, weight in zip(files, given, strict=True):
        for path in paths:
            registry.recognise(path).load(model, path)
        bake(model, weight)
    return model


def check_bakeable(files: Sequence[Path], weight: float = 1.0) -> None:
    """Check that an adapter can be worked into its base.

    Args:
        files: Its files.
        weight: What it is to be multiplied by.

    Raises:
        ValueError: If its kind cannot be worked in or weighed.
    """
    for path in files:
        kind = registry.recognise(path).adapter_type
        if kind is CrossAttentionAdapter:
            raise ValueError(
                f"Expected adapters that can be worked into a base, but {path} is of keys and "
                "values, which are read by attention processors of their own."
            )
        if weight != 1.0 and kind is not LoRAAdapter and not kind.loads_first:
            raise ValueError(f"Expected a weight of 1 for {path}, which is a {kind.kind}.")


def bake(model: StableDiffusion, weight: float = 1.0) -> None:
    """Add a model's LoRA to the weights below it, and take it out, in place.

    Args:
        model: A bundle, with or without a LoRA, LoHa or LoKr.
        weight: What it is multiplied by.
    """
    for layer in lora_layers(model).values():
        cast(Any, layer).scale_layer(weight)
        cast(Any, layer).merge(safe_merge=True, adapter_names=[ADAPTER_NAME])
    LoRAAdapter.remove(model)


def write_whole_model(
    model: StableDiffusion, base: str | Path, output: Path, dtype: torch.dtype = torch.float32
) -> None:
    """Write a bundle, and prove it by loading it back.

    Args:
        model: A bundle without adapters. It is cast to `dtype`.
        base: What it was made from: a single file is read back with its configuration.
        output: A `.safetensors` file, which gets the original layout; or a new folder in
            diffusers'.
        dtype: Floating type of the weights that are written.

    Raises:
        AdapterVerificationError: If the model that is loaded back predicts anything else.
        FileExistsError: If a file is there that sdtune did not write, or anything is in the folder.
        ValueError: If a file in the original layout cannot hold the model.
    """
    is_file = output.suffix == _SUFFIX
    if is_file:
        _check_vocabulary(model, base)
    elif output.is_dir() and any(output.iterdir()):
        raise FileExistsError(
            f"Expected {output} to be a new folder, for a whole model is written over nothing that "
            "is there."
        )
    with evaluating(model):
        expected = prediction(model)
    model.to(dtype)
    if is_file:
        _write_file(model, output)
        again = load(output, config=base)
        _tell_what_it_needs(output, base)
    else:
        output.mkdir(parents=True, exist_ok=True)
        model.pipeline().save_pretrained(output)
        for name in model.family.text_encoder_names:
            name_for_older_releases(output / name)
        again = load(output)
    check_same_output(output, "UNet", expected, prediction(again), dtype)


def _tell_what_it_needs(path: Path, base: str | Path) -> None:
    """Warn if a file is of a size whose configuration no program has, so that none reads it."""
    try:
        find_single_file(path)
    except ValueError:
        log.warning(
            "%s is of a size of its own, which a single file does not tell: to be read it needs a "
            "copy of the configuration of %s beside it, in a folder %s. Without a suffix, "
            "`--output` writes a folder, which needs nothing.",
            path, base, path.with_suffix(""),
        )  # fmt: skip


def _check_vocabulary(model: StableDiffusion, base: str | Path) -> None:
    known = [set(tokenizer.get_vocab()) for tokenizer in load_tokenizers(base)]
    own = [set(tokenizer.get_vocab()) for tokenizer in model.tokenizers]
    new = sorted({word for a, b in zip(own, known, strict=True) for word in a - b})
    if new:
        raise ValueError(
            f"Expected `--output` to be a folder, for one file has no vocabulary to hold "
            f"{' '.join(new)}: leave the words out, and use their own file beside the model."
        )


def _write_file(model: StableDiffusion, output: Path) -> None:
    if output.exists() and not tensor_file.is_ours(output):
        raise FileExistsError(
            f"Expected {output} to be free, but a file is there that sdtune did not write: move it "
            "away or choose another name."
        )
    weights = original_weights(model)
    metadata = {**model_spec(model), "modelspec.title": output.stem, **tensor_file.RESERVED}
    if model.prediction_type == "v_prediction" and len(model.text_encoders) > 1:
        # ComfyUI and others look for these names in files of Stable Diffusion XL
        weights["v_pred"] = torch.zeros(0)
    if model.noise_scheduler.config.get("rescale_betas_zero_snr"):
        weights["ztsnr"] = torch.zeros(0)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replaced_atomically(output) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(weights, temporary, metadata)
        temporary.chmod(mode)  # the library lets nobody else read its files
