"""LoRA folders in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.

PEFT tunes one network; for Stable Diffusion its examples write a folder `unet` and, if it is
tuned, a folder `text_encoder`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from sdtune.adapters.lora import LoRAAdapter, tunable_parts
from sdtune.adapters.lora_placement import LoRAMatrices, place_lora, text_module_name
from sdtune.files import tensor_file
from sdtune.files.atomic_file import replaced_atomically
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["CONFIG_NAME", "FILE_NAME", "find_peft_folders", "load", "save"]

CONFIG_NAME = "adapter_config.json"
FILE_NAME = "adapter_model.safetensors"

_PARTS = ("unet", "text_encoder", "text_encoder_2")
_PREFIX = "base_model.model."
_KEY = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")


def save(
    adapter: LoRAAdapter, folder: str | Path, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write a folder for `PeftModel.from_pretrained` for each part that is tuned.

    Args:
        adapter: The adapter.
        folder: Where the folders `unet` and `text_encoder` go.
        metadata: Strings for the headers of the weights.

    Returns:
        `folder`.

    Raises:
        FileExistsError: If files of these names are there which sdtune did not write.
    """
    for part, weights in adapter.weights.items():
        config = copy.copy(adapter.configs[part])
        config.base_model_name_or_path, config.inference_mode = None, True
        content = {
            key: sorted(value) if isinstance(value, set) else value
            for key, value in config.to_dict().items()
        }
        below = Path(folder) / part
        tensors = {_PREFIX + key: tensor for key, tensor in weights.items()}
        tensor_file.write(below / FILE_NAME, tensors, metadata or {})
        with replaced_atomically(below / CONFIG_NAME) as temporary:
            temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return Path(folder)


def find_peft_folders(folder: str | Path) -> list[Path]:
    """Find PEFT's folders.

    Args:
        folder: One of them, or a folder with `unet` and perhaps `text_encoder`.

    Returns:
        Those that hold a configuration and weights.
    """
    folder = Path(folder)
    candidates = (folder, *(folder / part for part in _PARTS))
    return [
        each
        for each in candidates
        if (each / CONFIG_NAME).is_file() and (each / FILE_NAME).is_file()
    ]


def load(model: StableDiffusion, folder: str | Path) -> None:
    """Load a LoRA from PEFT's folders into a model, in place and frozen.

    Args:
        model: A bundle without an adapter.
        folder: See `find_peft_folders`.

    Raises:
        ValueError: If it is for another architecture, or no plain LoRA.
    """
    place_lora(model, dict(_read(each, model) for each in find_peft_folders(folder)), folder)


def _read(folder: Path, model: StableDiffusion) -> tuple[str, LoRAMatrices]:
    from peft.tuners.lora import LoraConfig
    from peft.utils.other import get_pattern_key

    kind = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8")).get("peft_type")
    if kind != "LORA":
        raise ValueError(f"Expected {folder} to hold a LoRA, but its `peft_type` is {kind}.")
    config = LoraConfig.from_pretrained(str(folder))
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / FILE_NAME).items():
        match = _KEY.fullmatch(key.removeprefix(_PREFIX))
        if match is None or config.use_dora:
            raise ValueError(f"Expected {folder} to be a plain LoRA, but it holds `{key}`.")
        pairs.setdefault(match["module"], {})[match["side"]] = tensor.float()
    parts = tunable_parts(model)
    part = folder.name if folder.name in parts else _part_of(pairs)
    matrices = LoRAMatrices()
    for module, pair in pairs.items():
        name = module if part == "unet" else text_module_name(module, parts[part])
        pattern = get_pattern_key(config.alpha_pattern.keys(), module)
        alpha = config.alpha_pattern.get(pattern, config.lora_alpha)
        scale = len(pair["A"]) ** 0.5 if config.use_rslora else 1.0  # alpha / sqrt(r), not / r
        matrices[name] = (pair["A"], pair["B"], alpha * scale)
    return part, matrices


def _part_of(modules: Mapping[str, object]) -> str:
    return "unet" if any("_blocks." in module for module in modules) else "text_encoder"
