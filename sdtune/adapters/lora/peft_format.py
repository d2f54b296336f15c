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

from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.layers import tunable_parts
from sdtune.adapters.lora.placement import LoRAMatrices, place_lora, text_module_name
from sdtune.adapters.usage import Program, Use
from sdtune.files import tensor_file
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.tensor_file import TensorHeader
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["PEFTFormat"]

_CONFIG = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"

_PARTS = ("unet", "text_encoder", "text_encoder_2")
_PREFIX = "base_model.model."
_KEY = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])(?:\.default)?\.weight")


class PEFTFormat(LoRAFormat):
    """A folder with a folder for each part that is tuned; or the folder of the only one."""

    name = "PEFT"
    file_name = "peft"
    made_for = ()

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether it is a folder that holds a configuration and weights."""
        return bool(_part_folders(path))

    def find(self, folder: Path) -> Path | None:
        """Find the folder `peft` in a folder, or take the folder itself."""
        return next(
            (each for each in (folder / self.file_name, folder) if _part_folders(each)), None
        )

    def holds(self, adapter: LoRAAdapter) -> bool:
        """Tell whether it is no DoRA, which other readers of the layout refuse."""
        return not any(config.use_dora for config in adapter.configs.values())

    def metadata(self, path: Path) -> Mapping[str, str]:
        """Read the strings in the header of the first part's weights."""
        return next(
            iter(tensor_file.read_metadata(each / _WEIGHTS) for each in _part_folders(path)), {}
        )

    def written_files(self, path: Path) -> list[Path]:
        """List weights and configurations, if sdtune wrote them."""
        folders = [each for each in _part_folders(path) if tensor_file.is_ours(each / _WEIGHTS)]
        return [each / name for each in folders for name in (_WEIGHTS, _CONFIG)]

    def write(self, adapter: LoRAAdapter, path: Path, metadata: Mapping[str, str]) -> None:
        """Write a folder for `PeftModel.from_pretrained` for each part that is tuned."""
        for part, weights in adapter.weights.items():
            config = copy.copy(adapter.configs[part])
            config.base_model_name_or_path, config.inference_mode = None, True
            content = {
                key: sorted(value) if isinstance(value, set) else value
                for key, value in config.to_dict().items()
            }
            below = path / part
            tensors = {_PREFIX + key: tensor for key, tensor in weights.items()}
            tensor_file.write(below / _WEIGHTS, tensors, metadata)
            with replaced_atomically(below / _CONFIG) as temporary:
                temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Load a LoRA from PEFT's folders into a model, in place and frozen.

        Args:
            model: A bundle without a LoRA.
            path: The folder.

        Raises:
            ValueError: If it is for another architecture, or no plain LoRA.
        """
        place_lora(model, dict(_read(each, model) for each in _part_folders(path)), path)

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say that other programs are given another layout."""
        return AdapterFormat.use(self, program, path, name)


def _part_folders(folder: Path) -> list[Path]:
    candidates = (folder, *(folder / part for part in _PARTS))
    return [
        each for each in candidates if (each / _CONFIG).is_file() and (each / _WEIGHTS).is_file()
    ]


def _read(folder: Path, model: StableDiffusion) -> tuple[str, LoRAMatrices]:
    from peft.tuners.lora import LoraConfig
    from peft.utils.other import get_pattern_key

    kind = json.loads((folder / _CONFIG).read_text(encoding="utf-8")).get("peft_type")
    if kind != "LORA":
        raise ValueError(f"Expected {folder} to hold a LoRA, but its `peft_type` is {kind}.")
    config = LoraConfig.from_pretrained(str(folder))
    pairs: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / _WEIGHTS).items():
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
