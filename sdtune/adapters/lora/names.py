"""Names of the modules that a LoRA tunes, as every layout of files spells them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from torch import nn

__all__ = [
    "Spellings",
    "find_module",
    "original_names",
    "pattern_value",
    "spellings",
    "text_module_name",
    "with_text_level",
]

Spellings = Mapping[str, Mapping[str, str]]
"""Part -> a module's name with "_" for ".", in any spelling -> the module's name in the part."""

_TEXT_LEVEL = "text_model."
_BESIDE_TEXT_LEVEL = "text_projection"

_PREFIXES = {
    "lora_unet_": "unet",
    "lora_te_": "text_encoder",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lycoris_": "unet",
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
    "diffusion_model.": "unet",
    "base_model.model.": "",
}

# how text encoders' projections were called in diffusers' first files
_OLD_TEXT_NAMES = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out_0": "out_proj"}

_RESNET_NAMES = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTER_NAMES = {
    "conv_in": "input_blocks.0.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
}
_BLOCK = re.compile(
    r"(?P<side>down|mid|up)_blocks?(?:\.(?P<block>\d+))?\."
    r"(?P<kind>resnets|attentions|downsamplers|upsamplers)\.(?P<layer>\d+)\.(?P<inner>.+)"
)


def original_names(modules: Iterable[str], layers_per_block: int) -> dict[str, str]:
    """Name a UNet's modules as the first implementation did, and SDXL's files do still.

    Args:
        modules: All modules' names in diffusers' UNet.
        layers_per_block: From its configuration.

    Returns:
        Name in diffusers -> original name, such as `input_blocks.4.1.proj_in`; names that are in
        no block and were not in the first UNet are left out.
    """
    every = set(modules)
    names = {}
    for name in every:
        found = _BLOCK.fullmatch(name)
        if found is None:
            if name in _OUTER_NAMES:
                names[name] = _OUTER_NAMES[name]
            continue
        block, layer = int(found["block"] or 0), int(found["layer"])
        has_attention = f"{found['side']}_blocks.{block}.attentions.0" in every
        names[name] = _original(found, block, layer, layers_per_block, has_attention)
    return names


def _original(
    found: re.Match[str], block: int, layer: int, layers_per_block: int, has_attention: bool
) -> str:
    kind, inner, stride = found["kind"], found["inner"], layers_per_block + 1
    if kind == "downsamplers":
        return f"input_blocks.{(block + 1) * stride}.0.op"
    if kind == "upsamplers":
        return f"output_blocks.{block * stride + layers_per_block}.{1 + has_attention}.{inner}"
    inner = _RESNET_NAMES.get(inner, inner) if kind == "resnets" else inner
    if found["side"] == "mid":
        return f"middle_block.{2 * layer if kind == 'resnets' else 1}.{inner}"
    number = 0 if kind == "resnets" else 1
    if found["side"] == "down":
        return f"input_blocks.{1 + block * stride + layer}.{number}.{inner}"
    return f"output_blocks.{block * stride + layer}.{number}.{inner}"


def spellings(parts: Mapping[str, nn.Module]) -> Spellings:
    """List how files may spell the modules that can be tuned.

    Args:
        parts: As `tunable_parts` names them; on the meta device, too.

    Returns:
        For each part a table.
    """
    return {
        name: _unet_spellings(part) if name == "unet" else _text_spellings(part)
        for name, part in parts.items()
    }


def find_module(written: str, known: Spellings, part: str = "") -> tuple[str, str] | None:
    """Find a module by the name that a file has for it.

    Args:
        written: The name, with the prefix of a layout or none.
        known: What `spellings` gave.
        part: In which part, where that is known; else the name tells.

    Returns:
        The part and the module's name in it; None if there is no such module.
    """
    for prefix, named in _PREFIXES.items():
        if written.startswith(prefix):
            return _find(written.removeprefix(prefix), known, named or part)
    return _find(written, known, part)


def text_module_name(module: str, part: nn.Module) -> str:
    """Name a text encoder's module as the installed transformers does.

    Args:
        module: With or without the level `text_model.`, which transformers 5.6 took out.
        part: The text encoder.

    Returns:
        The name in this text encoder.
    """
    if hasattr(part, "text_model"):
        return with_text_level(module)
    return module.removeprefix(_TEXT_LEVEL)


def with_text_level(module: str) -> str:
    """Name a text encoder's module as transformers before 5.6 did, and as files do.

    Args:
        module: Its name, or that of a tensor in it, with or without the level `text_model.`.

    Returns:
        With it, but for the projection of Stable Diffusion XL's second one, which is beside it.
    """
    module = module.removeprefix(_TEXT_LEVEL)
    return module if module.startswith(_BESIDE_TEXT_LEVEL) else f"{_TEXT_LEVEL}{module}"


def pattern_value(patterns: Mapping[str, float], module: str, default: float) -> float:
    """Look a module up in one of PEFT's patterns, written by whatever release of transformers.

    Args:
        patterns: The end of a module's name, or a pattern of it -> value.
        module: The module.
        default: The value if none fits.

    Returns:
        The value.
    """
    if not patterns:
        return default
    from peft.utils.other import get_pattern_key

    short = module.removeprefix(_TEXT_LEVEL)
    for name in (short, f"{_TEXT_LEVEL}{short}"):
        default = patterns.get(get_pattern_key(list(patterns), name), default)
    return default


def _find(written: str, known: Spellings, part: str) -> tuple[str, str] | None:
    spelled = written.replace(".processor.", ".").replace(".", "_")
    if spelled.endswith("_to_out"):
        spelled += "_0"
    # old files named the UNet's modules alone, without a prefix
    for each in [part] if part else known:
        table = known.get(each, {})
        if each != "unet":
            for old, new in _OLD_TEXT_NAMES.items():
                spelled = re.sub(f"_{old}$", f"_{new}", spelled)
        if spelled in table:
            return each, table[spelled]
    return None


def _unet_spellings(part: nn.Module) -> dict[str, str]:
    config: Mapping[str, object] = getattr(part, "config", {})
    layers = config.get("layers_per_block")
    every = [name for name, _ in part.named_modules()]
    original = original_names(every, layers) if isinstance(layers, int) else {}
    table = {}
    for name in _tunable(part):
        for each in (name, original.get(name, name)):
            table[each.replace(".", "_")] = name
    return table


def _text_spellings(part: nn.Module) -> dict[str, str]:
    table = {}
    for name in _tunable(part):
        short = name.removeprefix(_TEXT_LEVEL)
        for each in (name, short, f"{_TEXT_LEVEL}{short}"):
            table[each.replace(".", "_")] = name
    return table


def _tunable(part: nn.Module) -> list[str]:
    kinds = (nn.Linear, nn.Conv2d, nn.Conv1d)
    return [name for name, each in part.named_modules() if isinstance(each, kinds)]
