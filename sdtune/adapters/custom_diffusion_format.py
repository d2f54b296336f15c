"""Tuned keys and values as diffusers' `UNet2DConditionModel.load_attn_procs` reads them.

The file holds `<attention>.processor.to_k_custom_diffusion.weight` and `…to_v_…`, each (out, in)
float32, for every cross-attention. diffusers wants every other attention of the UNet listed too,
by a key without a value, which its own writer leaves out of safetensors files; here that is an
empty tensor, `<attention>.processor` of shape (0,), and its reader takes it for the same.

diffusers 0.42 puts what it reads into the UNet only if it is told the pipeline:
`pipeline.unet.load_attn_procs(folder, weight_name="pytorch_custom_diffusion_weights.safetensors",
_pipeline=pipeline)`. Its attention then differs from the usual one by rounding; `load` below
writes the weights into the UNet's own keys and values instead.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from sdtune.adapters.cross_attention import (
    CrossAttentionAdapter,
    remove_tuned_projections,
    tuned_projections,
)
from sdtune.adapters.quiet import dropped_messages
from sdtune.adapters.verification import AdapterVerificationError, evaluating, prediction
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["FILE_NAME", "holds_custom_diffusion", "load", "read", "save", "verify"]

FILE_NAME = "pytorch_custom_diffusion_weights.safetensors"

_SUFFIX = "_custom_diffusion.weight"


def save(
    adapter: CrossAttentionAdapter, folder: str | Path, metadata: Mapping[str, str] | None = None
) -> Path:
    """Write keys and values to `pytorch_custom_diffusion_weights.safetensors`, whole or not at all.

    Args:
        adapter: The keys and values.
        folder: Where the file goes; made if it is missing.
        metadata: Strings for the header.

    Returns:
        The path of the file.

    Raises:
        FileExistsError: If a file of that name is there which sdtune did not write.
        TypeError: If a value in `metadata` is no string.
        ValueError: If `metadata` uses a key that the file needs.
    """
    path = Path(folder) / FILE_NAME
    tensors = {}
    for name, weight in adapter.weights.items():
        attention, _, projection = name.rpartition(".")
        tensors[f"{attention}.processor.{projection}{_SUFFIX}"] = weight
    tuned = {key.rpartition(".to_")[0] for key in tensors}
    tensors.update({name: torch.empty(0) for name in adapter.processors if name not in tuned})
    tensor_file.write(path, tensors, metadata or {})
    return path


def read(path: str | Path) -> dict[str, Tensor]:
    """Read keys and values without a model.

    Args:
        path: The file.

    Returns:
        Name of a projection in the UNet (`….attn2.to_k`) -> (out, in).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else.
    """
    weights = {}
    for key, tensor in load_file(path).items():
        attention, _, projection = key.removesuffix(_SUFFIX).rpartition(".processor.")
        if attention and projection in ("to_k", "to_v"):
            weights[f"{attention}.{projection}"] = tensor
        elif tensor.numel():
            raise ValueError(
                f"Expected {path} to hold keys and values of the cross-attention, but it holds "
                f"`{key}`: queries and outputs, which diffusers' script trains with "
                "`--freeze_model crossattn`, are not read here."
            )
    return weights


def holds_custom_diffusion(path: str | Path) -> bool:
    """Tell whether a file holds tuned keys and values, without reading its tensors.

    Args:
        path: An existing file.

    Returns:
        Whether it is a safetensors file with such names.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return any(key.endswith(_SUFFIX) for key in file.keys())  # noqa: SIM118
    except SafetensorError:
        return False


def load(model: StableDiffusion, path: str | Path) -> None:
    """Put keys and values into a model, in place and frozen, in the precision of the base.

    Args:
        model: A bundle.
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else, or is for another UNet.
    """
    modules = dict(model.unet.named_modules())
    for name, weight in read(path).items():
        layer = modules.get(name)
        if not isinstance(layer, nn.Linear) or layer.weight.shape != weight.shape:
            found = tuple(layer.weight.shape) if isinstance(layer, nn.Linear) else "none"
            raise ValueError(
                f"Expected {path} to fit the UNet of {model.source}, but its `{name}` is of shape "
                f"{tuple(weight.shape)} and the UNet's {found}: give the base that it was "
                "trained on."
            )
        layer.weight = nn.Parameter(weight.to(layer.weight), requires_grad=False)


@torch.no_grad()
def verify(path: str | Path, model: StableDiffusion, atol: float = 1e-3) -> None:
    """Load a file back with diffusers' own reader and compare with the model it came from.

    Compared are all weights, and then what the UNet predicts from fixed noise for a fixed prompt.
    The frozen weights are shared, not copied. The model and its modes are left as they were.

    Args:
        path: The file.
        model: The bundle whose keys and values were saved.
        atol: Largest difference allowed between two predictions, which are of order 1. On a
            half-precision base, to which the reader rounds the weights, it is at least 0.05.

    Raises:
        AdapterVerificationError: If anything differs.
        FileNotFoundError: If there is no such file.
    """
    trained, saved = tuned_projections(model), read(path)
    different = [
        name
        for name in sorted(trained.keys() | saved.keys())
        if name not in trained
        or name not in saved
        or not torch.equal(trained[name].weight.cpu(), saved[name])
    ]
    if different:
        raise AdapterVerificationError(
            f"Expected {path} to hold the {len(trained)} trained keys and values, but "
            f"{len(different)} differ; the first is `{different[0]}`."
        )
    path = Path(path)
    with evaluating(model):
        shared = chain(model.parameters(), model.buffers(), model.tokenizers)
        fresh = copy.deepcopy(model, memo={id(item): item for item in shared})
        remove_tuned_projections(fresh)
        with dropped_messages("should be kept in float32: []", "diffusers.models.modeling_utils"):
            fresh.unet.load_attn_procs(
                path.parent, weight_name=path.name, _pipeline=fresh.pipeline()
            )
        error = (prediction(model) - prediction(fresh)).abs().max().item()
    if model.dtype != torch.float32:
        atol = max(atol, 0.05)
    if not error <= atol:  # also catches nan
        raise AdapterVerificationError(
            f"Expected {path} to predict what the trained model does, but the UNet's output "
            f"differs by {error:.2e}, more than {atol:.2e}."
        )
