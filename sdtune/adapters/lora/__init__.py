"""Low-rank adapters: layers in a model, the adapter apart from it, a file per format."""

from sdtune.adapters.lora.adapter import LoRAAdapter
from sdtune.adapters.lora.layers import (
    add_lora,
    lora_layers,
    lora_parameters,
    reached_text_parameters,
    tunable_parts,
    without_adapter,
)
from sdtune.adapters.lora.settings import LoRASettings, TargetModules
from sdtune.adapters.lora.updates import AdapterType

__all__ = [
    "AdapterType",
    "LoRAAdapter",
    "LoRASettings",
    "TargetModules",
    "add_lora",
    "lora_layers",
    "lora_parameters",
    "reached_text_parameters",
    "tunable_parts",
    "without_adapter",
]
