"""Random weights that depend on names, and not on the order in which a library makes layers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

__all__ = ["draw_saved_weights", "draw_weights"]

_SMALL = 0.17  # torch's own initial weights of layers with fewer inputs are large enough
_LEVEL = "text_model."  # transformers 5.6 took it out of some names


def draw_weights(module: nn.Module, seed: int = 0, gain: float = 1.0) -> None:
    """Draw a model's weights, each by the seed and its own name.

    Matrices have a size at which every input shows in the output, zero and tiny initial ones too.
    Vectors that a library fills with one number, as norms and some biases, keep it.

    Args:
        module: The model; its weights are replaced.
        seed: Seed of the weights.
        gain: What matrices of transformers' models are multiplied by.
    """
    _draw(dict(module.named_parameters()), seed, gain, isinstance(module, PreTrainedModel))


def draw_saved_weights(path: Path, seed: int = 0, gain: float = 1.0) -> None:
    """Draw the weights of a file of transformers, whose names are the same in every release.

    Args:
        path: What `save_pretrained` wrote; it is replaced.
        seed: Seed of the weights.
        gain: What matrices are multiplied by.
    """
    weights = load_file(path)
    _draw(weights, seed, gain, always_normal=True)
    save_file(weights, path, {"format": "pt"})


@torch.no_grad()
def _draw(weights: Mapping[str, Tensor], seed: int, gain: float, always_normal: bool) -> None:
    for name, weight in weights.items():
        if weight.ndim < 2 and weight.min() == weight.max():
            continue
        matrix = weights.get(f"{name.removesuffix('.bias')}.weight", weight)
        bound = (matrix[0].numel() if matrix.ndim > 1 else matrix.numel()) ** -0.5
        known = f"{seed} {name.removeprefix(_LEVEL)}".encode()
        number = int.from_bytes(hashlib.sha256(known).digest()[:8], "little", signed=True)
        generator = torch.Generator().manual_seed(number)
        if weight.ndim > 1 and (always_normal or bound < _SMALL):
            nn.init.normal_(weight, std=gain * bound, generator=generator)
        else:
            nn.init.uniform_(weight, -bound, bound, generator=generator)
