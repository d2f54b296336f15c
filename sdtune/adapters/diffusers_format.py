"""Adapters as diffusers' `load_lora_weights` reads them, with nothing lost on the way.

diffusers' own training scripts write no configuration, so that its reader takes alpha to be the
rank and a LoRA comes back stronger or weaker than it was trained. The header written here keeps
rank, alpha and DoRA, and `verify` proves it for each file.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sdtune.adapters.lora import (
    ADAPTER_NAME,
    LoRAAdapter,
    inject_lora,
    lora_layers,
    lora_parameters,
    tunable_parts,
)
from sdtune.adapters.lora_placement import text_module_name
from sdtune.adapters.quiet import dropped_messages
from sdtune.adapters.random_state import isolated_random_state
from sdtune.adapters.verification import AdapterVerificationError, evaluating, prediction
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from peft import LoraConfig
    from peft.tuners.lora import LoraLayer

__all__ = [
    "CONFIG_KEY",
    "FILE_NAME",
    "AdapterVerificationError",
    "frozen_copy",
    "load",
    "resolve",
    "save",
    "verify",
]

FILE_NAME = "pytorch_lora_weights.safetensors"
CONFIG_KEY = "lora_adapter_metadata"

_UNET_NAMES = {".lora_A.": ".lora.down.", ".lora_B.": ".lora.up."}
_TEXT_NAMES = {".lora_A.": ".lora_linear_layer.down.", ".lora_B.": ".lora_linear_layer.up."}
_MAGNITUDE = ".lora_magnitude_vector"


def save(
    adapter: LoRAAdapter, folder: str | Path, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write an adapter to `pytorch_lora_weights.safetensors`, whole or not at all.

    Args:
        adapter: The adapter.
        folder: Where the file goes; made if it is missing.
        metadata: Strings for the header, beside the configuration.

    Returns:
        The path of the file.

    Raises:
        FileExistsError: If a file of that name is there which sdtune did not write.
        TypeError: If a value in `metadata` is no string.
        ValueError: If `metadata` uses a key that the file needs.
    """
    path = Path(folder) / FILE_NAME
    configs = {
        f"{part}.{key}": value
        for part, config in adapter.configs.items()
        for key, value in _portable(config).items()
    }
    header = {**(metadata or {}), CONFIG_KEY: json.dumps(configs, indent=2, sort_keys=True)}
    tensors = {
        f"{part}.{_diffusers_key(part, key)}": tensor
        for part, weights in adapter.weights.items()
        for key, tensor in weights.items()
    }
    tensor_file.write(path, tensors, header)
    return path


def load(model: StableDiffusion, path: str | Path) -> None:
    """Load an adapter into a model, in place and frozen, as diffusers reads it.

    diffusers' reader fills the UNet. It would fill text encoders through transformers' own
    `load_adapter`, which asks for a release of PEFT first (5.24 for one that does not exist), so
    that they are filled here. The matrices are rounded to the precision of the base.

    Args:
        model: A bundle without an adapter.
        path: As in `resolve`.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    path = resolve(path)
    pipeline = model.pipeline()
    # the reader draws initial values and then overwrites them
    with isolated_random_state(), _quiet_reader():
        state, alphas, metadata = pipeline.lora_state_dict(
            path.parent,
            weight_name=path.name,
            unet_config=model.unet.config,
            return_lora_metadata=True,
        )
        if not all("lora" in key for key in state):
            raise ValueError(f"Expected {path} to be a LoRA, but it holds `{next(iter(state))}`.")
        pipeline.load_lora_into_unet(
            state, alphas, model.unet, adapter_name=ADAPTER_NAME, metadata=metadata
        )
        for name, part in tunable_parts(model).items():
            if name != "unet":
                _load_text_encoder(name, part, state, alphas, metadata)
    for layer in lora_layers(model).values():
        layer.requires_grad_(False)


def resolve(path: str | Path) -> Path:
    """Find the file of an adapter.

    Args:
        path: The file, a folder that holds it under its default name, or a run folder that holds
            it in `adapter/`.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    for candidate in (path, path / FILE_NAME, path / "adapter" / FILE_NAME):
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(
        f"Expected an adapter at {path}, but there is neither such a file nor a folder with "
        f"{FILE_NAME}."
    )


@torch.no_grad()
def verify(path: str | Path, model: StableDiffusion, atol: float = 1e-3) -> None:
    """Load a file back into fresh, frozen modules and compare with the model it came from.

    Compared are each layer's scale (alpha / rank) and matrices, and then what the UNet predicts
    from fixed noise for a fixed prompt, which goes through the text encoder as well. The frozen
    weights are shared, not copied, so this costs two predictions and little memory. The model,
    its modes and the random state are left as they were.

    Args:
        path: As in `resolve`.
        model: The bundle whose adapter was saved.
        atol: Largest difference allowed between two predictions, which are of order 1. On a
            half-precision base, to which the reader rounds the matrices, it is at least 0.05.

    Raises:
        AdapterVerificationError: If anything differs; it names the first layer that does.
        FileNotFoundError: If there is no such file.
    """
    with isolated_random_state(), evaluating(model):
        fresh = frozen_copy(model)
        load(fresh, path)
        loaded = tunable_parts(fresh)
        for name, part in tunable_parts(model).items():
            _compare_layers(path, part, loaded[name])
        error = (prediction(model) - prediction(fresh)).abs().max().item()
    if model.dtype != torch.float32:
        atol = max(atol, 0.05)
    if not error <= atol:  # also catches nan
        raise AdapterVerificationError(
            f"Expected {path} to predict what the trained model does, but the UNet's output "
            f"differs by {error:.2e}, more than {atol:.2e}."
        )


def _portable(config: LoraConfig) -> dict[str, Any]:
    from peft import LoraConfig

    # only what differs from PEFT's defaults: an older PEFT refuses any field it does not know
    default = LoraConfig().to_dict()
    always = ("r", "lora_alpha", "use_dora")
    # a reader adds layers in training mode, and would go on dropping inputs when it draws
    never = ("base_model_name_or_path", "lora_dropout")
    return {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()
        if key in always or (value != default[key] and key not in never)
    }


def _diffusers_key(part: str, key: str) -> str:
    # one naming for all modules of a part: the reader looks at the first key alone to tell which
    for ours, theirs in (_UNET_NAMES if part == "unet" else _TEXT_NAMES).items():
        key = key.replace(ours, theirs)
    if part == "unet":
        return key
    if key.endswith(_MAGNITUDE):
        key += ".weight"  # transformers' reader puts the adapter's name before a last level
    # transformers 5.6 dropped a level from the modules' names, which older ones expect
    return key if key.startswith("text_model.") else f"text_model.{key}"


def _load_text_encoder(
    name: str,
    part: Any,
    state: Mapping[str, Tensor],
    alphas: Mapping[str, float] | None,
    metadata: Mapping[str, Any] | None,
) -> None:
    """Do what diffusers' `load_lora_into_text_encoder` does, with PEFT alone."""
    from diffusers.utils import (
        convert_state_dict_to_diffusers,
        convert_state_dict_to_peft,
        get_peft_kwargs,
    )
    from peft import LoraConfig, set_peft_model_state_dict

    own = _below(name, state)
    if not own:
        return
    own = convert_state_dict_to_peft(convert_state_dict_to_diffusers(own))
    own = {text_module_name(key, part): tensor for key, tensor in own.items()}
    if metadata is None:
        ranks = {key: len(tensor.T) for key, tensor in own.items() if ".lora_B." in key}
        settings = get_peft_kwargs(ranks, _below(name, alphas or {}), own, is_unet=False)
    else:
        settings = _below(name, metadata)
    inject_lora(part, LoraConfig(**settings))
    result = set_peft_model_state_dict(part, own, ADAPTER_NAME)
    if result.unexpected_keys:
        raise ValueError(f"Expected the {name} to have `{result.unexpected_keys[0]}`.")
    for matrix in lora_parameters(part):  # new ones are float32
        matrix.data = matrix.data.to(part.dtype)


def _below(name: str, mapping: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{name}."
    return {k.removeprefix(prefix): each for k, each in mapping.items() if k.startswith(prefix)}


@contextmanager
def _quiet_reader() -> Iterator[None]:
    from transformers.utils import logging as transformers_logging

    loggers = ("diffusers.loaders.lora_base", "diffusers.loaders.peft")
    had_progress_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        # the text encoder need not be tuned
        with dropped_messages("No LoRA keys associated to", *loggers):
            yield
    finally:
        if had_progress_bar:
            transformers_logging.enable_progress_bar()


def frozen_copy(model: StableDiffusion) -> StableDiffusion:
    """Copy a model without its LoRA; the frozen weights are shared.

    Args:
        model: A bundle.

    Returns:
        Another one, to load an adapter into.
    """
    shared = chain(model.parameters(), model.buffers(), model.tokenizers)
    fresh = copy.deepcopy(model, memo={id(item): item for item in shared})
    fresh.pipeline().unload_lora_weights()
    return fresh


def _compare_layers(path: str | Path, trained: nn.Module, loaded: nn.Module) -> None:
    expected, found = lora_layers(trained), lora_layers(loaded)
    if expected.keys() != found.keys():
        names = sorted(expected.keys() ^ found.keys())
        raise AdapterVerificationError(
            f"Expected {path} to hold {len(expected)} layers of the "
            f"{type(trained).__name__}, but it holds {len(found)}; the first that differs is "
            f"`{names[0]}`."
        )
    for name, layer in expected.items():
        scale, read = layer.scaling[ADAPTER_NAME], found[name].scaling[ADAPTER_NAME]
        if scale != read:
            raise AdapterVerificationError(
                f"Expected {path} to scale `{name}` by {scale:g} (alpha / rank), but it comes "
                f"back scaled by {read:g}."
            )
        for key, tensor in _matrices(layer).items():
            other = _matrices(found[name]).get(key)
            if other is None or not _equal(tensor, other):
                raise AdapterVerificationError(
                    f"Expected {path} to hold the trained `{name}.{key}`, but it does not."
                )


def _matrices(layer: LoraLayer) -> dict[str, Tensor]:
    return {key: p for key, p in layer.named_parameters() if key.startswith("lora_")}


def _equal(tensor: Tensor, other: Tensor) -> bool:
    # the reader casts a text encoder's matrices to the precision of the base
    rtol = 0.0 if tensor.dtype == other.dtype else torch.finfo(other.dtype).eps
    return tensor.shape == other.shape and torch.allclose(
        tensor.float(), other.float(), rtol=rtol, atol=0.0
    )
