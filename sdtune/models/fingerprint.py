"""A hash of frozen weights, which names the base in caches and checkpoints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256

import torch
from torch import Tensor, nn

__all__ = ["fingerprint"]

# where PEFT's layers and `TokenEmbedding` keep what they wrap, beside what learns
_WRAPPED = re.compile(r"\.(?:base_layer|frozen_table)\.")


def fingerprint(module: nn.Module, dtype: torch.dtype = torch.float32) -> str:
    """Hash a module's frozen weights.

    Adapters are left out, so the hash is the same before and after one is added. It is taken over
    float32 values: casting a base that was shipped in half precision up does not change it. To
    cast one down does, so that it is taken before. One weight at a time is copied, and not the
    whole.

    Args:
        module: The module, with or without adapters.
        dtype: Type that the values are rounded to before they are hashed.

    Returns:
        SHA-256 in hexadecimal.
    """
    digest = sha256()
    for name, weight in _frozen_weights(module):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().to(dtype).float().contiguous().numpy().data)
    return digest.hexdigest()


def _frozen_weights(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights that were there before any adapter, by their original names."""
    weights = module.state_dict()
    wrapped = tuple({_WRAPPED.split(name)[0] + "." for name in weights if _WRAPPED.search(name)})
    kept = {
        _WRAPPED.sub(".", name): weight
        for name, weight in weights.items()
        if _WRAPPED.search(name) or not name.startswith(wrapped)
    }
    yield from sorted(kept.items())
