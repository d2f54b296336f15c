"""LoRA folders in PEFT's layout: `adapter_config.json` and `adapter_model.safetensors`.

PEFT tunes one network; for Stable Diffusion its examples write a folder `unet` and, if it is
tuned, a folder `text_encoder`.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.format import LoRAFormat
from sdtune.adapters.lora.peft_config import (
    CONFIG_NAME,
    alpha_of_module,
    read_config,
    whole_scale_of_module,
)
from sdtune.adapters.lora.peft_sizes import peft_makes
from sdtune.adapters.lora.reading import AlphaOf, Updates, read_updates
from sdtune.adapters.usage import Program, Use
from sdtune.files import tensor_file
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.tensor_file import TensorHeader

__all__ = ["PEFTFormat"]

_WEIGHTS = "adapter_model.safetensors"

_PARTS = ("unet", "text_encoder", "text_encoder_2")
_PREFIX = "base_model.model."


class PEFTFormat(LoRAFormat):
    """A folder with a folder for each part that is tuned; or the folder of the only one."""

    name = "PEFT"
    file_name = "peft"
    made_for = ()

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether it is a folder that holds a configuration and weights, or those weights."""
        return bool(_part_folders(path))

    def find(self, folder: Path) -> Path | None:
        """Find the folder `peft` in a folder, or take the folder itself."""
        return next(
            (each for each in (folder / self.file_name, folder) if _part_folders(each)), None
        )

    def holds(self, adapter: LoRAAdapter) -> bool:
        """Tell whether PEFT makes matrices of these sizes, of which LyCORIS has more."""
        return all(
            peft_makes(adapter.configs[part], update)
            for part in adapter.weights
            for update in adapter.updates(part).values()
        )

    def metadata(self, path: Path) -> Mapping[str, str]:
        """Read the strings in the header of the first part's weights."""
        return next(
            iter(tensor_file.read_header(each / _WEIGHTS).metadata for each in _part_folders(path)),
            {},
        )

    def written_files(self, path: Path) -> list[Path]:
        """List weights and configurations, if sdtune wrote them."""
        if path.is_file():
            return []  # of the folder, which is asked too
        folders = [each for each in _part_folders(path) if tensor_file.is_ours(each / _WEIGHTS)]
        return [each / name for each in folders for name in (_WEIGHTS, CONFIG_NAME)]

    def write(self, adapter: LoRAAdapter, path: Path, metadata: Mapping[str, str]) -> None:
        """Write a folder for `PeftModel.from_pretrained` for each part that is tuned."""
        for part in adapter.weights:
            tensor_file.check_companion(path / part / CONFIG_NAME, path / part / _WEIGHTS)
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
            with replaced_atomically(below / CONFIG_NAME) as temporary:
                temporary.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")

    def read(
        self,
        path: Path,
        parts: Mapping[str, nn.Module],
        *,
        base: str = "this base",
        unfolded: bool = False,
    ) -> Updates:
        """Read PEFT's folders: LoRA with DoRA and biases of its own, LoHa and LoKr."""
        updates: Updates = {}
        for folder in _part_folders(path):
            config = read_config(folder)
            part = folder.name if folder.name in _PARTS else ""
            tensors = tensor_file.read_tensors(folder / _WEIGHTS)
            updates |= read_updates(
                tensors, parts, folder, self.name, base, part=part, alpha_of=_alpha_of(config)
            )
        return updates

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say that other programs are given another layout."""
        return AdapterFormat.use(self, program, path, name)


def _part_folders(path: Path) -> list[Path]:
    if path.is_file():
        path = path.parent if path.name == _WEIGHTS else path
    candidates = (path, *(path / part for part in _PARTS))
    return [
        each
        for each in candidates
        if (each / CONFIG_NAME).is_file() and (each / _WEIGHTS).is_file()
    ]


def _alpha_of(config: Mapping[str, Any]) -> AlphaOf:
    def alpha_of(part: str, module: str, rank: int) -> float | None:
        if rank == 0:
            return whole_scale_of_module(config, module)
        return alpha_of_module(config, module, rank)

    return alpha_of
