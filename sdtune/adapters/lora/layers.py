"""Low-rank adapters (Hu et al. 2021, https://arxiv.org/abs/2106.09685) in the bundle, by PEFT."""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.lora.input_casts import leave_casts_to_autocast
from sdtune.adapters.lora.settings import LoRASettings, TargetModules
from sdtune.adapters.lora.updates import AdapterType
from sdtune.functional.randomness import Stream, counter_generator, isolated_random_state
from sdtune.models.quantized_linear import QuantizedLinear
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from peft import PeftConfig
    from peft.tuners.lora import LoraLayer
    from peft.tuners.tuners_utils import BaseTunerLayer
    from transformers import CLIPTextModel

__all__ = [
    "ADAPTER_NAME",
    "PARAMETER_PREFIXES",
    "add_lora",
    "find_targets",
    "inject_lora",
    "lora_layers",
    "lora_pair",
    "lora_parameters",
    "reached_text_parameters",
    "remove_lora",
    "tunable_parts",
    "without_adapter",
]

ADAPTER_NAME = "default"

PARAMETER_PREFIXES = ("lora_", "hada_", "lokr_")
"""How the names of a layer's own parameters begin."""

_UNET_ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
_UNET_FEED_FORWARD = ("proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
_UNET_CONVOLUTIONS = (
    "conv1",
    "conv2",
    "conv_shortcut",
    "time_emb_proj",
    "downsamplers.0.conv",
    "upsamplers.0.conv",
)
_TEXT_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_TEXT_FEED_FORWARD = ("fc1", "fc2")

_LAYER = re.compile(r"\.layers\.(\d+)$")

_UNET_TARGETS: Mapping[str, tuple[str, ...]] = {
    "attention": _UNET_ATTENTION,
    "attention+feed_forward": _UNET_ATTENTION + _UNET_FEED_FORWARD,
    "all": _UNET_ATTENTION + _UNET_FEED_FORWARD + _UNET_CONVOLUTIONS,
}
_TEXT_TARGETS: Mapping[str, tuple[str, ...]] = {
    "attention": _TEXT_ATTENTION,
    "attention+feed_forward": _TEXT_ATTENTION + _TEXT_FEED_FORWARD,
    "all": _TEXT_ATTENTION + _TEXT_FEED_FORWARD,
}


def add_lora(
    model: StableDiffusion,
    *,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    target_modules: TargetModules | list[str] = "attention",
    use_dora: bool = False,
    text_encoder: bool = False,
    text_encoder_rank: int | None = None,
    text_encoder_alpha: float | None = None,
    adapter_type: AdapterType = "lora",
    clip_skip: int = 1,
    seed: int = 0,
) -> None:
    """Add a fresh LoRA to a frozen model, in place. The model's output does not change by it.

    The matrices are float32 whatever the precision of the base, and are a function of the seed
    and of the module's name alone: the global random state is neither used nor moved.

    Args:
        model: The bundle to tune.
        rank: Inner dimension of each pair of matrices.
        alpha: The update is scaled by `alpha / rank`.
        dropout: Probability in [0, 1) of dropping an input of the update while training.
        target_modules: `attention` (queries, keys, values, outputs), `attention+feed_forward`
            (also the transformers' projections and multilayer perceptrons), `all` (also the
            convolutions of the residual blocks and samplers), or a list of the ends of module
            names, for instance `["to_q", "to_v", "q_proj", "v_proj"]`.
        use_dora: Decompose into magnitude and direction (Liu et al. 2024,
            https://arxiv.org/abs/2402.09353).
        text_encoder: Tune the text encoders too.
        text_encoder_rank: Their rank; None for `rank`.
        text_encoder_alpha: Their alpha; None for `alpha`.
        adapter_type: `lora`; `loha`, the product by elements of two (Hyeon-Woo et al. 2022,
            https://arxiv.org/abs/2108.06098); or `lokr`, a Kronecker product (Yeh et al. 2024,
            https://arxiv.org/abs/2309.14859).
        clip_skip: Layer of a text encoder whose output is used, counted from the end. Those that
            do not reach the UNet would never learn, and get no matrices, see `Family.text_layers`.
        seed: Seed of the initial matrices.

    Raises:
        TypeError: If a rank is no integer.
        ValueError: If an argument is out of its range, names no module, or the model already
            has an adapter.
    """
    settings = LoRASettings(
        rank,
        alpha,
        dropout,
        target_modules,
        use_dora,
        text_encoder_rank,
        text_encoder_alpha,
        adapter_type,
    )
    settings.check()
    if lora_parameters(model):
        raise ValueError("Expected `model` to have no adapter yet, but it already has one.")

    parts = {n: p for n, p in tunable_parts(model).items() if n == "unet" or text_encoder}
    targets = find_targets(parts, target_modules)
    reached = dict(
        zip(model.family.text_encoder_names, _reached_layers(model, clip_skip), strict=True)
    )
    with isolated_random_state():  # PEFT draws initial values, which `_initialize` replaces
        for name, part in parts.items():
            config: Any = settings.config(name, targets[name])
            if name in reached and reached[name] < cast(Any, part).config.num_hidden_layers:
                config.layers_to_transform = list(range(reached[name]))
                config.layers_pattern = "layers"
            inject_lora(part, config)
    for name, part in parts.items():
        _initialize(part, name, seed)


def inject_lora(part: nn.Module, config: PeftConfig, name: str = ADAPTER_NAME) -> None:
    """Wrap the modules of a part that a configuration names in PEFT's layers, in place.

    PEFT does it alone: the `add_adapter` of transformers' models asks for a release of PEFT first,
    and transformers 5.24 for one that does not exist.

    Args:
        part: A UNet or a text encoder.
        config: PEFT's configuration.
        name: What PEFT calls it; one that the part has already would be added to.
    """
    from peft import inject_adapter_in_model

    # PEFT compares a new configuration with those that are there, which may be of another kind
    others = vars(part).pop("peft_config", {})
    inject_adapter_in_model(config, part, name)
    for layer in lora_layers(part).values():
        leave_casts_to_autocast(layer)
        if isinstance(layer.get_base_layer(), QuantizedLinear):
            cast(Any, layer).merge = _refuse_to_merge
    part.peft_config = {**others, **cast(Any, part).peft_config}  # type: ignore[assignment]
    # what transformers and diffusers look at before they list, switch or unload adapters
    part._hf_peft_config_loaded = True  # type: ignore[assignment]


def remove_lora(part: nn.Module) -> None:
    """Put the frozen layers of a part back in their places.

    Args:
        part: A UNet or a text encoder. Without an adapter this does nothing.
    """
    for name, layer in lora_layers(part).items():
        parent, _, attribute = name.rpartition(".")
        setattr(part.get_submodule(parent), attribute, layer.get_base_layer())
    if hasattr(part, "peft_config"):
        del part.peft_config
        part._hf_peft_config_loaded = False  # type: ignore[assignment]


def tunable_parts(model: StableDiffusion) -> dict[str, nn.Module]:
    """Name the parts that an adapter can tune as diffusers' pipelines and files name them.

    Args:
        model: A bundle.

    Returns:
        `unet`, and the family's text encoders: `text_encoder` and, if there is a second one,
        `text_encoder_2`.
    """
    names = model.family.text_encoder_names
    return {"unet": model.unet, **dict(zip(names, model.text_encoders, strict=True))}


def lora_layers(module: nn.Module) -> dict[str, BaseTunerLayer]:
    """Find the layers that an adapter wraps.

    Args:
        module: A bundle, or one part of it.

    Returns:
        Module name -> PEFT's layer around the frozen one, in the order of the modules.
    """
    from peft.tuners.lora import LoraLayer
    from peft.tuners.lycoris_utils import LycorisLayer

    kinds = (LoraLayer, LycorisLayer)
    return {name: each for name, each in module.named_modules() if isinstance(each, kinds)}


def lora_pair(layer: LoraLayer) -> tuple[Tensor, Tensor]:
    """Give the matrices of a layer, or the convolutions that stand for them.

    Args:
        layer: PEFT's layer.

    Returns:
        The one that goes down to the rank, (rank, in, ...), and the one up, (out, rank, ...).
    """
    down, up = (cast(nn.Linear, each[ADAPTER_NAME]) for each in (layer.lora_A, layer.lora_B))
    return down.weight, up.weight


def lora_parameters(module: nn.Module) -> list[nn.Parameter]:
    """List the parameters of the adapters in a module, in the order of its modules.

    Args:
        module: A bundle, or one part of it such as `model.unet`.

    Returns:
        The parameters, frozen or not. Empty if there is no adapter.
    """
    named = module.named_parameters()
    return [each for name, each in named if any(prefix in name for prefix in PARAMETER_PREFIXES)]


def reached_text_parameters(model: StableDiffusion, clip_skip: int) -> list[nn.Parameter]:
    """List the parameters of the adapters in the text encoders that reach the UNet.

    Args:
        model: A bundle.
        clip_skip: As in `add_lora`.

    Returns:
        The parameters, frozen or not, in the order of the modules.
    """
    found = []
    layers = _reached_layers(model, clip_skip)
    for encoder, reached in zip(model.text_encoders, layers, strict=True):
        behind = {
            id(each)
            for name, module in encoder.named_modules()
            if (numbered := _LAYER.search(name)) and int(numbered[1]) >= reached
            for each in module.parameters()
        }
        found += [each for each in lora_parameters(encoder) if id(each) not in behind]
    return found


@contextmanager
def without_adapter(model: nn.Module) -> Iterator[None]:
    """Switch the adapters off, so that the model is its own base, and restore them afterwards.

    Args:
        model: A bundle, or one part of it. Without any adapter this does nothing.

    Yields:
        Nothing.
    """
    layers = list(lora_layers(model).values())
    enabled = [not layer.disable_adapters for layer in layers]
    # PEFT freezes what it disables and unfreezes all that it enables, frozen before or not
    own = [each for layer in layers for each in lora_parameters(cast(nn.Module, layer))]
    trainable = [(parameter, parameter.requires_grad) for parameter in own]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer, was_enabled in zip(layers, enabled, strict=True):
            layer.enable_adapters(was_enabled)
        for parameter, was_trainable in trainable:
            parameter.requires_grad_(was_trainable)


def find_targets(
    parts: Mapping[str, nn.Module], target_modules: TargetModules | list[str]
) -> dict[str, list[str]]:
    """Find out what `target_modules` means in each part of a model.

    Args:
        parts: As `tunable_parts` names them; on the meta device, too.
        target_modules: As in `add_lora`.

    Returns:
        Part -> the ends of the names of its modules that are tuned.

    Raises:
        ValueError: If a name is in none of the parts, or a part has none of the names.
    """
    if isinstance(target_modules, str):
        return {
            name: list((_UNET_TARGETS if name == "unet" else _TEXT_TARGETS)[target_modules])
            for name in parts
        }
    targets = {name: _matching(part, target_modules) for name, part in parts.items()}
    unknown = [n for n in target_modules if not any(n in found for found in targets.values())]
    if unknown:
        raise ValueError(
            f"Expected `target_modules` to hold ends of module names of {' or '.join(parts)}, but "
            f"there is no {', '.join(f'`{name}`' for name in unknown)}."
        )
    for name, found in targets.items():
        if not found:
            raise ValueError(
                f"Expected `target_modules` to name a module of the {name}, but none of "
                f"{', '.join(f'`{n}`' for n in target_modules)} is in it."
            )
    return targets


def _reached_layers(model: StableDiffusion, clip_skip: int) -> list[int]:
    encoders = cast("list[CLIPTextModel]", list(model.text_encoders))
    return model.family.text_layers(encoders, clip_skip)


def _refuse_to_merge(*arguments: object, **options: object) -> None:
    raise ValueError(
        "Expected a base with all its digits to merge an adapter into, but it is quantised: load "
        "the adapter's file with `sdtune.load_pipeline`, and merge it there."
    )


def _matching(part: nn.Module, names: Sequence[str]) -> list[str]:
    modules = [f".{module}" for module, _ in part.named_modules()]
    return [name for name in names if any(module.endswith(f".{name}") for module in modules)]


@torch.no_grad()
def _initialize(part: nn.Module, part_name: str, seed: int) -> None:
    from peft.tuners.lora import LoraLayer

    for name, layer in lora_layers(part).items():
        # by name, so that a module starts the same whichever others are tuned beside it
        key = zlib.crc32(f"{part_name}.{name}".encode())
        generator = counter_generator(seed, Stream.INITIALIZATION, key)
        if isinstance(layer, LoraLayer):
            _initialize_lora(layer, generator)
        else:
            _initialize_product(cast(nn.Module, layer), generator)


def _initialize_lora(layer: LoraLayer, generator: torch.Generator) -> None:
    down, up = lora_pair(layer)
    down.data = _drawn(down, generator)
    up.data = torch.zeros_like(up, dtype=torch.float32)
    if ADAPTER_NAME in layer.lora_magnitude_vector:
        # anew in float32: norms rounded to the base's precision would change its output
        magnitude: Any = layer.lora_magnitude_vector[ADAPTER_NAME]
        magnitude.update_layer(
            base_layer=layer.get_base_layer(),
            lora_A=down,
            lora_B=up,
            scaling=layer.scaling[ADAPTER_NAME],
        )


def _initialize_product(layer: nn.Module, generator: torch.Generator) -> None:
    named = [(n, p) for n, p in layer.named_parameters() if n.startswith(PARAMETER_PREFIXES)]
    for name, parameter in named:
        # one factor of zeros, as LyCORIS has it: lokr's second, or the last of its second
        is_zero = name.startswith(("hada_w2_b.", "lokr_w2_b.", "lokr_w2."))
        parameter.data = (
            torch.zeros_like(parameter, dtype=torch.float32)
            if is_zero
            else _drawn(parameter, generator)
        )


def _drawn(parameter: Tensor, generator: torch.Generator) -> Tensor:
    initial = torch.empty(parameter.shape, device="cpu")
    nn.init.kaiming_uniform_(initial, a=math.sqrt(5), generator=generator)
    return initial.to(parameter.device)
