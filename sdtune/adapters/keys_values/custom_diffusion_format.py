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

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.keys_values.adapter import CrossAttentionAdapter
from sdtune.adapters.keys_values.layers import tuned_projections
from sdtune.adapters.usage import Program, Use, literal, shown
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.files import tensor_file
from sdtune.files.library_messages import dropped_messages
from sdtune.files.tensor_file import TensorHeader
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["CustomDiffusionFormat"]

_SUFFIX = "_custom_diffusion.weight"


class CustomDiffusionFormat(AdapterFormat[CrossAttentionAdapter]):
    """`pytorch_custom_diffusion_weights.safetensors`."""

    adapter_type = CrossAttentionAdapter
    name = "custom diffusion"
    file_name = "pytorch_custom_diffusion_weights.safetensors"

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether a name is that of tuned keys or values."""
        return any(name.endswith(_SUFFIX) for name in header.shapes)

    def write(
        self, adapter: CrossAttentionAdapter, path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write keys and values, and the names of all other attentions."""
        tensors = {}
        for name, weight in adapter.weights.items():
            attention, _, projection = name.rpartition(".")
            tensors[f"{attention}.processor.{projection}{_SUFFIX}"] = weight
        tuned = {key.rpartition(".to_")[0] for key in tensors}
        tensors.update({name: torch.empty(0) for name in adapter.processors if name not in tuned})
        tensor_file.write(path, tensors, metadata)

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Put keys and values into a model, in place and frozen, in the precision of the base.

        Args:
            model: A bundle without tuned keys and values.
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds anything else, or is for another UNet.
        """
        modules = dict(model.unet.named_modules())
        for name, weight in _read(path).items():
            layer = modules.get(name)
            if not isinstance(layer, nn.Linear) or layer.weight.shape != weight.shape:
                found = tuple(layer.weight.shape) if isinstance(layer, nn.Linear) else "none"
                raise ValueError(
                    f"Expected {path} to fit the UNet of {model.source}, but its `{name}` is of "
                    f"shape {tuple(weight.shape)} and the UNet's {found}: give the base that it "
                    "was trained on."
                )
            layer.weight = nn.Parameter(weight.to(layer.weight), requires_grad=False)

    def read_back(self, model: StableDiffusion, path: Path) -> None:
        """Load with diffusers' own reader, into processors of its own."""
        loggers = ["diffusers.models.modeling_utils"]
        with dropped_messages("should be kept in float32: []", loggers=loggers):
            model.unet.load_attn_procs(
                str(path.parent), weight_name=path.name, _pipeline=model.pipeline()
            )

    def compare(
        self,
        adapter: CrossAttentionAdapter,
        path: Path,
        model: StableDiffusion,
        loaded: StableDiffusion,
    ) -> None:
        """Compare the file's keys and values with those that were trained.

        Args:
            adapter: What was written.
            path: The file.
            model: The model in which they were trained.
            loaded: Another one, into which diffusers read them in the precision of the base.

        Raises:
            AdapterVerificationError: If one differs.
        """
        trained, saved = tuned_projections(model), _read(path)
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

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how keys and values are used in another program."""
        if program != "diffusers":
            return Use(
                note="These programs do not read keys and values of the cross-attention. Train "
                "with `model.rank` to get a LoRA, which they do."
            )
        return Use(
            (
                "pipeline.unet.load_attn_procs(",
                f"    {literal(shown(path.parent))},",
                f"    weight_name={literal(path.name)},",
                "    _pipeline=pipeline,  # else diffusers reads the file and applies nothing",
                ")",
            )
        )


def _read(path: Path) -> dict[str, Tensor]:
    """Read keys and values: name of a projection in the UNet (`….attn2.to_k`) -> (out, in)."""
    weights = {}
    for key, tensor in tensor_file.read_tensors(path).items():
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
