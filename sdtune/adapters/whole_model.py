"""Adapters worked into their base: a whole model again, in diffusers' layout or in one file."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from sdtune.adapters import registry
from sdtune.adapters.keys_values.adapter import CrossAttentionAdapter
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import ADAPTER_NAME, lora_layers, tunable_parts
from sdtune.adapters.lora.placement import place_updates
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.adapters.verification import (
    check_same_output,
    evaluating,
    frozen_copy,
    prediction,
)
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
    """Work adapters into their base: to its weights, what each changes of them is added.

    The order makes no difference. Each is worked into the base's own weights, and is so read as if
    it were the only one: a whole UNet takes the place of no other, and a DoRA's directions are
    those that it was trained around.

    Args:
        base: What they were trained on, see `load`.
        adapters: One or more of any kind, as `find_adapter_files` finds them.
        weights: What each one's change is multiplied by, finite; None for 1. As in
            `PlacedAdapters`, 0 leaves the base.

    Returns:
        A bundle without adapters that does what the base does with all of them. Learned words are
        in its vocabulary.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If one is for another kind of base, or its kind cannot be worked in or weighed.
    """
    given = [1.0] * len(adapters) if weights is None else list(weights)
    if len(given) != len(adapters) or not adapters or not all(map(math.isfinite, given)):
        raise ValueError(
            f"Expected a finite weight for each of {len(adapters)} adapters, but got {given}."
        )
    files = [find_adapter_files(each) for each in adapters]
    for paths, weight in zip(files, given, strict=True):
        check_bakeable(paths, weight)
    model = load(base)
    own = frozen_copy(model)
    sums: dict[str, Tensor] = {}
    for paths, weight in zip(files, given, strict=True):
        for path in paths:
            registry.load_words(model, path)
            _add(sums, own, _tuned_weights(own, path), weight)
    parameters = dict(model.named_parameters())
    for name, values in sums.items():
        parameters[name].data = values.to(parameters[name].dtype)
    return model


def _tuned_weights(base: StableDiffusion, path: Path) -> dict[str, Tensor]:
    """Work the weights of one file into a copy of the base, and give those that it changes."""
    form = registry.recognise(path)
    if form.adapter_type.loads_first:
        return {}
    tuned = frozen_copy(base)
    if isinstance(form, LoRAFormat):  # without the words that may be in it
        parts = tunable_parts(tuned)
        place_updates(parts, form.read(path, parts, base=str(base.source)))
        bake(tuned)
    else:
        form.load(tuned, path)
    before, after = dict(base.named_parameters()), dict(tuned.named_parameters())
    if before.keys() != after.keys():
        raise ValueError(
            f"Expected adapters that can be worked into a base, but {path} adds modules of its own."
        )
    return {
        name: weight.detach()
        for name, weight in after.items()
        if weight.data_ptr() != before[name].data_ptr()
    }


@torch.no_grad()
def _add(
    sums: dict[str, Tensor], base: StableDiffusion, tuned: Mapping[str, Tensor], weight: float
) -> None:
    own = dict(base.named_parameters())
    for name, values in tuned.items():
        if name not in sums and weight == 1.0:  # to the last bit
            sums[name] = values
        elif weight:
            before = own[name].detach().float()
            sums[name] = sums.get(name, before) + weight * (values.float() - before)


def check_bakeable(files: Sequence[Path], weight: float = 1.0) -> None:
    """Check that an adapter can be worked into its base.

    Args:
        files: Its files.
        weight: What its change is to be multiplied by.

    Raises:
        ValueError: If its kind cannot be worked in or weighed.
    """
    kinds = [registry.recognise(path).adapter_type for path in files]
    for path, kind in zip(files, kinds, strict=True):
        if kind is CrossAttentionAdapter:
            raise ValueError(
                f"Expected adapters that can be worked into a base, but {path} is of keys and "
                "values, which are read by attention processors of their own."
            )
    if weight != 1.0 and all(kind.loads_first for kind in kinds):
        raise ValueError(
            f"Expected the weight of {files[-1]} to be 1, but got {weight:g}: learned words are "
            "either in the vocabulary or not."
        )


def bake(model: StableDiffusion) -> None:
    """Add a model's LoRA to the weights below it, and take it out, in place.

    Args:
        model: A bundle, with or without a LoRA, LoHa or LoKr.
    """
    for layer in lora_layers(model).values():
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
