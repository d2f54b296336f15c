"""kohya's configuration files for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = ["LORA", "PICTURES", "config"]

PICTURES = "datasets/style_openmoji"

LORA: dict[str, Any] = {
    "pretrained_model_name_or_path": "nano",
    "network_module": "networks.lora",
    "train_data_dir": "pictures",
    "resolution": 64,
}
"""The least that a configuration of a LoRA says."""


def config(folder: Path, name: str = "train.toml", **values: Any) -> Path:
    """Write a configuration.

    Args:
        folder: Where.
        name: The file.
        **values: Key -> value; with `datasets`, that is what a data set's file holds.
    """
    data_sets = values.pop("datasets", [])
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    for each in data_sets:
        subsets = each["subsets"]
        lines += ["[[datasets]]", *_pairs({k: v for k, v in each.items() if k != "subsets"})]
        for subset in subsets:
            lines += ["[[datasets.subsets]]", *_pairs(subset)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _pairs(values: dict[str, Any]) -> list[str]:
    return [f"{key} = {_toml(value)}" for key, value in values.items()]


def _toml(value: Any) -> str:
    return json.dumps(value)  # of texts, numbers, truths and lists of them the same
