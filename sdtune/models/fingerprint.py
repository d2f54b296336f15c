"""Hashes of frozen weights and of tokenizers, which name the base in caches and checkpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["fingerprint", "tokenizer_fingerprint"]

# where PEFT's layers and `TokenEmbedding` keep what they wrap, beside what learns
_WRAPPED = re.compile(r"\.(?:base_layer|frozen_table)\.")

_SPECIAL = ("bos", "eos", "pad", "unk")


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


def tokenizer_fingerprint(tokenizer: CLIPTokenizer, added: Mapping[str, int]) -> str:
    """Hash what the token ids of a prompt follow from.

    Args:
        tokenizer: The tokenizer, whatever words were added to it.
        added: Tokens beside its vocabulary that are the base's own -> their ids.

    Returns:
        SHA-256 in hexadecimal.
    """
    told: dict[str, Any] = {
        "added": dict(added),
        "special": [getattr(tokenizer, f"{each}_token_id") for each in _SPECIAL],
        "model_max_length": tokenizer.model_max_length,
        "padding_side": tokenizer.padding_side,
    }
    digest = sha256(json.dumps(told, sort_keys=True).encode())
    backend: Any = tokenizer.backend_tokenizer
    # as files hold them; the first one is vocabulary and merges, without what was added
    for each in (backend.model, backend.normalizer, backend.pre_tokenizer):
        digest.update(b"" if each is None else each.__getstate__())
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
