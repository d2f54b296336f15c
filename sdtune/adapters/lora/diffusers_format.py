"""Adapters as diffusers' `load_lora_weights` reads them, and other programs with it.

The update is alpha / rank * up @ down, but most readers of this layout take alpha to be the rank:
every diffusers before 0.35, ComfyUI, and whoever follows diffusers' own training scripts, which
write no alpha. So alpha / rank is worked into `up` here, and the configuration in the header says
an alpha equal to the rank: all of them get the same function. The alpha that it was trained with is
in the header too, apart, for training to go on.

Attention is named as in diffusers' first files, `attn1.processor.to_q_lora.down.weight`, which all
its versions read, and which is the only name that ComfyUI knows.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import (
    ADAPTER_NAME,
    inject_lora,
    lora_layers,
    lora_parameters,
    tunable_parts,
)
from sdtune.adapters.lora.names import text_module_name, with_text_level
from sdtune.adapters.lora.peft_config import (
    CONFIG_KEY,
    alpha_of_module,
    header_configs,
    is_finite_number,
    json_object,
)
from sdtune.adapters.lora.reading import AlphaOf, Updates, read_updates
from sdtune.adapters.lora.updates import ModuleUpdate, split_key
from sdtune.files import tensor_file
from sdtune.files.library_messages import dropped_messages
from sdtune.files.tensor_file import TensorHeader
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["CONFIG_KEY", "DiffusersLoRAFormat"]

_TRAINED_KEY = "sdtune.lora_alpha"

_TEXT_LEVEL = "text_model."
_ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
_SIDES = {"lora_A": "down.weight", "lora_B": "up.weight", "bias": "up.bias"}


class DiffusersLoRAFormat(LoRAFormat):
    """`pytorch_lora_weights.safetensors`; files of other programs in diffusers' many namings."""

    name = "diffusers"
    file_name = "pytorch_lora_weights.safetensors"
    own_keys = frozenset({CONFIG_KEY, _TRAINED_KEY})

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether it holds matrices of a LoRA, by whatever name."""
        names = (split_key(name) for name in header.shapes)
        return any(each is not None and each[1] != "alpha" for each in names)

    def holds(self, adapter: LoRAAdapter) -> bool:
        """Tell whether it is a LoRA, or a DoRA: no diffusers reads LoHa or LoKr."""
        return adapter.adapter_type == "lora"

    def write(self, adapter: LoRAAdapter, path: Path, metadata: Mapping[str, str]) -> None:
        """Write an adapter with alpha / rank worked in, its configuration in the header."""
        tensors: dict[str, Tensor] = {}
        trained: dict[str, dict[str, float]] = {}
        configs: dict[str, Any] = {}
        for part in adapter.weights:
            for module, update in adapter.updates(part).items():
                for kind, tensor in _folded(update).items():
                    tensors[f"{part}.{_diffusers_key(part, module, kind)}"] = tensor
                if update.alpha not in (update.rank, 0):  # of 0 nothing comes back
                    trained.setdefault(part, {})[module.removeprefix(_TEXT_LEVEL)] = update.alpha
            for key, value in _portable(adapter.configs[part]).items():
                configs[f"{part}.{key}"] = value
        header = {**metadata, CONFIG_KEY: json.dumps(configs, indent=2, sort_keys=True)}
        if trained:
            header[_TRAINED_KEY] = json.dumps(_shortened(trained), sort_keys=True)
        tensor_file.write(path, tensors, header)

    def read(
        self,
        path: Path,
        parts: Mapping[str, nn.Module],
        *,
        base: str = "this base",
        unfolded: bool = False,
    ) -> Updates:
        """Read a file in any of diffusers' namings; a LoHa or LoKr in them too.

        With `unfolded`, a file that sdtune wrote gives back the matrices that were trained: to the
        last bit if alpha / rank is a power of two, and to a rounding of `up` (6e-8) if not.
        """
        if not path.is_file():
            raise FileNotFoundError(f"Expected an adapter at {path}, but there is no such file.")
        tensors = tensor_file.read_tensors(path)
        if any(name.startswith("base_model.model.") for name in tensors):
            raise ValueError(
                f"Expected {path}, weights of PEFT's, to be beside their adapter_config.json, "
                "which says how strong they are: give the folder that holds both."
            )
        metadata = tensor_file.read_header(path).metadata
        alpha_of = _alpha_of(header_configs(metadata, path))
        updates = read_updates(tensors, parts, path, self.name, base, alpha_of=alpha_of)
        trained = _trained_alphas(path, metadata) if unfolded else {}
        return _unfolded(updates, trained) if trained else updates

    def read_back(self, model: StableDiffusion, path: Path) -> None:
        """Load with diffusers' own reader, in the precision of the base."""
        try:
            _load(model, path)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ValueError(f"Expected diffusers to read {path}, but: {error}") from error


def _folded(update: ModuleUpdate) -> dict[str, Tensor]:
    scale = update.alpha / update.rank
    return {
        kind: tensor if kind in ("lora_A", "magnitude") else (scale * tensor.float()).to(tensor)
        for kind, tensor in update.tensors.items()
    }


def _unfolded(updates: Updates, trained: Mapping[str, Mapping[str, float]]) -> Updates:
    result: Updates = {}
    for part, modules in updates.items():
        alphas = trained.get(part, {})
        result[part] = {}
        for module, update in modules.items():
            alpha = alphas.get(module.removeprefix(_TEXT_LEVEL), alphas.get(""))
            if alpha is None:
                result[part][module] = update
                continue
            scale = alpha / update.rank
            tensors = {
                kind: tensor / scale if kind in ("lora_B", "bias") else tensor
                for kind, tensor in update.tensors.items()
            }
            result[part][module] = replace(update, tensors=tensors, alpha=alpha)
    return result


def _shortened(trained: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Say an alpha that all modules of a part have once, for none in particular."""
    return {
        part: {"": next(iter(alphas.values()))} if len({*alphas.values()}) == 1 else dict(alphas)
        for part, alphas in trained.items()
    }


def _trained_alphas(path: Path, metadata: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Read part -> module -> the alpha that it was trained with."""
    where = f"`{_TRAINED_KEY}` in {path}"
    content = json_object(metadata.get(_TRAINED_KEY, "{}"), where)
    for part, alphas in content.items():
        values = alphas.values() if isinstance(alphas, dict) else [alphas]
        wrong = [each for each in values if not is_finite_number(each) or each == 0]
        if wrong or not isinstance(alphas, dict):
            raise ValueError(
                f"Expected the alphas of the {part} in {where} to be finite numbers by module and "
                f"none of them 0, but got {wrong[0] if wrong else alphas!r}: get it again."
            )
    return content


def _alpha_of(configs: Mapping[str, Mapping[str, Any]]) -> AlphaOf:
    def alpha_of(part: str, module: str, rank: int) -> float | None:
        return alpha_of_module(configs.get(part, {}), module, rank)

    return alpha_of


def _load(model: StableDiffusion, path: Path) -> None:
    """Let diffusers' reader fill the UNet, and fill the text encoders as it would.

    It would fill them through transformers' own `load_adapter`, which asks for a release of PEFT
    first (5.24 for one that does not exist).
    """
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


def _portable(config: Any) -> dict[str, Any]:
    from peft import LoraConfig

    config = copy.copy(config)
    config.lora_alpha, config.alpha_pattern = config.r, dict(config.rank_pattern)
    config.use_rslora = False
    # only what differs from PEFT's defaults: an older PEFT refuses any field it does not know
    default = LoraConfig().to_dict()
    # diffusers 0.38 looks the last two up without asking whether they are there
    always = ("r", "lora_alpha", "use_dora", "rank_pattern", "target_modules")
    # a reader adds layers in training mode, and would go on dropping inputs when it draws
    never = ("base_model_name_or_path", "lora_dropout")
    settings: dict[str, Any] = config.to_dict()
    content: dict[str, Any] = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in settings.items()
        if key in always or (value != default[key] and key not in never)
    }
    # names that fit text encoders with and without the level that transformers 5.6 took out
    if not isinstance(names := content["target_modules"], str):
        content["target_modules"] = [each.removeprefix(_TEXT_LEVEL) for each in names]
    for key in {"rank_pattern", "alpha_pattern"} & content.keys():
        content[key] = {name.removeprefix(_TEXT_LEVEL): each for name, each in content[key].items()}
    return content


def _diffusers_key(part: str, module: str, kind: str) -> str:
    if part != "unet":
        # transformers 5.6 dropped a level from the modules' names, which older ones expect
        module = with_text_level(module)
        if kind == "magnitude":  # transformers' reader puts the adapter's name before a last level
            return f"{module}.lora_magnitude_vector.weight"
        return f"{module}.lora_linear_layer.{_SIDES[kind]}"
    is_attention = module.endswith(_ATTENTION)
    if is_attention:
        parent, _, projection = module.removesuffix(".0").rpartition(".")
        module = f"{parent}.processor.{projection}"
    if kind == "magnitude":
        return f"{module}.lora_magnitude_vector"
    return f"{module}{'_' if is_attention else '.'}lora.{_SIDES[kind]}"


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
        matrix.data = matrix.data.to(cast(Any, part).dtype)


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
        with dropped_messages("No LoRA keys associated to", loggers=loggers):
            yield
    finally:
        if had_progress_bar:
            transformers_logging.enable_progress_bar()
