"""Bases of random weights: what they cost is what trained ones cost."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sdtune.files.atomic_file import temporary_sibling
from sdtune.files.cache_folder import default_cache_dir
from sdtune.models.empty_parts import make_empty_part, read_config
from sdtune.models.shipped import shipped_folder, shipped_tokenizer

__all__ = ["RANDOM_BASES", "RandomBase", "random_base"]

_VERSION = 2  # of what is written: raise it when that changes
_NUMBERS = 2**22  # drawn for each base, over and over again: to draw a billion takes half a minute


@dataclass(frozen=True)
class RandomBase:
    """An architecture.

    Attributes:
        shipped: Name of the configuration that comes with sdtune.
        changes: Part -> what its configuration has instead.
        dtype: Floating type of the file, which decides how large it is; a base is loaded from any.
    """

    shipped: str
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    dtype: torch.dtype = torch.float16


_TINY: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "sample_size": 8,
        "block_out_channels": [16, 32, 64, 64],
        "cross_attention_dim": 32,
        "norm_num_groups": 8,
    },
    "vae": {"sample_size": 64, "block_out_channels": [8, 16, 16, 16], "norm_num_groups": 4},
    "text_encoder": {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4},
}

_TINY_XL: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "sample_size": 8,
        "block_out_channels": [16, 32, 64],
        "transformer_layers_per_block": [1, 1, 2],
        "attention_head_dim": [2, 4, 4],
        "cross_attention_dim": 16 + 32,
        "norm_num_groups": 8,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 6 * 8 + 24,
    },
    "vae": _TINY["vae"],
    "text_encoder": {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 4},
    "text_encoder_2": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "projection_dim": 24,
    },
}

# GFLOP for each picture of SD 1.5 at 512 px: UNet forwards and backwards to the prompt 1669, VAE
# encoding 1117, text encoder forwards 13. Here, at 256 px: 11.8, 7.7 and 0.5. The table of
# embeddings has SD's size, and weighs more beside so small a UNet than beside SD's
_SMALL: Mapping[str, Mapping[str, Any]] = {
    "unet": {
        "sample_size": 32,
        "block_out_channels": [48, 96, 192, 192],
        "norm_num_groups": 16,
    },
    "vae": {"sample_size": 256, "block_out_channels": [24, 48, 64, 64], "norm_num_groups": 8},
    "text_encoder": {"intermediate_size": 768, "num_hidden_layers": 1},
}

RANDOM_BASES: Mapping[str, RandomBase] = {
    "sd15": RandomBase("stable_diffusion_1"),
    "sd21": RandomBase("stable_diffusion_2"),
    "sd21_base": RandomBase("stable_diffusion_2_base"),
    "sdxl": RandomBase("stable_diffusion_xl"),
    "small": RandomBase("stable_diffusion_1", _SMALL, torch.float32),
    "tiny": RandomBase("stable_diffusion_1", _TINY, torch.float32),
    "tiny_xl": RandomBase("stable_diffusion_xl", _TINY_XL, torch.float32),
}
"""Names that `--base` knows beside those of a recipe."""


def random_base(name: str, cache_dir: Path | None = None) -> Path:
    """Write a base of random weights, once.

    Args:
        name: One of `RANDOM_BASES`.
        cache_dir: Where it is kept; by default in sdtune's cache.

    Returns:
        A folder in diffusers' layout.

    Raises:
        OSError: If there is no room for it.
    """
    base = RANDOM_BASES[name]
    folder = (cache_dir or default_cache_dir()) / "random_bases" / f"{name}_{_VERSION}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = temporary_sibling(folder)
    try:
        _write(base, unfinished)
        unfinished.rename(folder)
    except OSError:
        if not folder.is_dir():  # another process was quicker
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _write(base: RandomBase, folder: Path) -> None:
    source = shipped_folder(base.shipped)
    shutil.copytree(source, folder)
    numbers = torch.randn(_NUMBERS, generator=torch.Generator().manual_seed(0))
    for path in sorted(folder.glob("*/config.json")):
        part = path.parent.name
        config = {**read_config(path), **base.changes.get(part, {})}
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        _save(make_empty_part(part, path), part, base.dtype, numbers, path.parent)
    for path in sorted(folder.glob("tokenizer*")):
        shipped_tokenizer(source, path.name).save_pretrained(path)


def _save(
    part: nn.Module, name: str, dtype: torch.dtype, numbers: torch.Tensor, folder: Path
) -> None:
    from safetensors.torch import save_file

    norms = {
        f"{path}.weight"
        for path, module in part.named_modules()
        if isinstance(module, nn.GroupNorm | nn.LayerNorm)
    }
    tensors = {
        key: _drawn(value.shape, key in norms, dtype, numbers)
        for key, value in part.state_dict().items()
    }
    is_diffusers = name in ("unet", "vae")
    file = "diffusion_pytorch_model.safetensors" if is_diffusers else "model.safetensors"
    save_file(tensors, folder / file, metadata={"format": "pt"})


def _drawn(
    shape: torch.Size, is_norm: bool, dtype: torch.dtype, numbers: torch.Tensor
) -> torch.Tensor:
    """Make a weight at which activations keep about their size, of numbers that were drawn."""
    if len(shape) < 2:
        return torch.full(shape, 1.0 if is_norm else 0.0, dtype=dtype)
    count = shape.numel()
    numbers = (numbers[:count] / math.sqrt(shape[1:].numel())).to(dtype)
    return numbers.repeat(-(-count // len(numbers)))[:count].reshape(shape)
