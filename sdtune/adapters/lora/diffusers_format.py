"""Adapters as diffusers' `load_lora_weights` reads them, with nothing lost on the way.

diffusers' own training scripts write no configuration, so that its reader takes alpha to be the
rank and a LoRA comes back stronger or weaker than it was trained. The header written here keeps
rank, alpha and DoRA, and `verify` proves it for each file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from sdtune.adapters.library_messages import dropped_messages
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import (
    ADAPTER_NAME,
    inject_lora,
    lora_layers,
    lora_parameters,
    tunable_parts,
)
from sdtune.adapters.lora.placement import text_module_name
from sdtune.files import tensor_file
from sdtune.files.tensor_file import TensorHeader
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from peft import LoraConfig
    from transformers import CLIPTextModel

__all__ = ["CONFIG_KEY", "DiffusersLoRAFormat"]

CONFIG_KEY = "lora_adapter_metadata"

_UNET_NAMES = {".lora_A.": ".lora.down.", ".lora_B.": ".lora.up."}
_TEXT_NAMES = {".lora_A.": ".lora_linear_layer.down.", ".lora_B.": ".lora_linear_layer.up."}
_MAGNITUDE = ".lora_magnitude_vector"
_PICKLES = (".bin", ".ckpt", ".pt", ".pth")  # diffusers reads tensors in them and nothing else


class DiffusersLoRAFormat(LoRAFormat):
    """`pytorch_lora_weights.safetensors`, with names and a header as diffusers' scripts write."""

    name = "diffusers"
    file_name = "pytorch_lora_weights.safetensors"
    own_keys = frozenset({CONFIG_KEY})

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether diffusers may be able to read it as a LoRA: it knows many layouts."""
        if path.is_file() and not header.shapes:
            return path.suffix in _PICKLES
        return any("lora" in name.lower() for name in header.shapes)

    def write(self, adapter: LoRAAdapter, path: Path, metadata: Mapping[str, str]) -> None:
        """Write an adapter, its configuration in the header."""
        configs = {
            f"{part}.{key}": value
            for part, config in adapter.configs.items()
            for key, value in _portable(config).items()
        }
        header = {**metadata, CONFIG_KEY: json.dumps(configs, indent=2, sort_keys=True)}
        tensors = {
            f"{part}.{_diffusers_key(part, key)}": tensor
            for part, weights in adapter.weights.items()
            for key, tensor in weights.items()
        }
        tensor_file.write(path, tensors, header)

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Load an adapter into a model, in place and frozen, as diffusers reads it.

        The matrices are rounded to the precision of the base.

        Args:
            model: A bundle without a LoRA.
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it does not fit the model.
        """
        try:
            _load(model, path)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"Expected {path} to be an adapter for a base of the architecture of "
                f"{model.source}, but its weights do not fit: give the base that it was trained on."
            ) from error


def _load(model: StableDiffusion, path: Path) -> None:
    """Let diffusers' reader fill the UNet, and fill the text encoders as it would.

    It would fill them through transformers' own `load_adapter`, which asks for a release of PEFT
    first (5.24 for one that does not exist).
    """
    if not path.is_file():
        raise FileNotFoundError(f"Expected an adapter at {path}, but there is no such file.")
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
        cast(nn.Module, layer).requires_grad_(False)


def _portable(config: LoraConfig) -> dict[str, Any]:
    from peft import LoraConfig

    # only what differs from PEFT's defaults: an older PEFT refuses any field it does not know
    default = LoraConfig().to_dict()
    # diffusers 0.38 looks the last two up without asking whether they are there
    always = ("r", "lora_alpha", "use_dora", "rank_pattern", "target_modules")
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
    part: nn.Module,
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
    result: Any = set_peft_model_state_dict(part, own, ADAPTER_NAME)
    if result.unexpected_keys:
        raise ValueError(f"Expected the {name} to have `{result.unexpected_keys[0]}`.")
    for matrix in lora_parameters(part):  # new ones are float32
        matrix.data = matrix.data.to(cast("CLIPTextModel", part).dtype)


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
