"""A whole UNet in the files that diffusers keeps a UNet in."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.usage import Program, Use, literal, quoted, shown
from sdtune.adapters.verification import AdapterVerificationError
from sdtune.adapters.whole_unet.adapter import TunedUNet, unet_config
from sdtune.files import tensor_file
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.tensor_file import TensorHeader
from sdtune.files.whole_weights import load_whole
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

__all__ = ["DiffusersUNetFormat"]

_CONFIG = "config.json"


class DiffusersUNetFormat(AdapterFormat[TunedUNet]):
    """A folder for `UNet2DConditionModel.from_pretrained`; the path is that of the weights."""

    adapter_type = TunedUNet
    name = "diffusers"
    file_name = "diffusion_pytorch_model.safetensors"
    made_for = ("diffusers", "ComfyUI")

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell by the name, which diffusers fixes, and the configuration beside it."""
        return path.name == self.file_name and path.with_name(_CONFIG).is_file()

    def written_files(self, path: Path) -> list[Path]:
        """List weights and configuration, if sdtune wrote them."""
        return [path, path.with_name(_CONFIG)] if tensor_file.is_ours(path) else []

    def write(self, adapter: TunedUNet, path: Path, metadata: Mapping[str, str]) -> None:
        """Write the weights, and the configuration beside them."""
        config = path.with_name(_CONFIG)
        tensor_file.check_companion(config, path)
        tensor_file.write(path, adapter.weights, metadata)
        with replaced_atomically(config) as temporary:
            temporary.write_text(json.dumps(adapter.config, indent=2, sort_keys=True) + "\n")

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Put a tuned UNet in the place of a model's own, frozen.

        Args:
            model: The base that it was tuned from, or another of its architecture.
            path: The file of the weights.

        Raises:
            ValueError: If the architectures differ.
        """
        unet, own = _read(path), unet_config(model.unet)
        other = unet_config(unet)
        different = [name for name in _architecture() if own.get(name) != other.get(name)]
        if different:
            raise ValueError(
                f"Expected {path} to be a UNet of the architecture of {model.source}, but `"
                f"{different[0]}` is {other.get(different[0])} and not {own.get(different[0])}: "
                "give the base that it was tuned from."
            )
        for name, weight in unet.state_dict().items():
            if not weight.isfinite().all():
                raise ValueError(
                    f"Expected all numbers in {path} to be finite, but `{name}` holds some that "
                    "are not: the training that made it has failed; take an earlier checkpoint."
                )
        cast(Any, unet).to(model.device, model.dtype, memory_format=torch.channels_last)
        # an adapter's pictures are compared with the base's, and so are of the base's size
        unet.register_to_config(sample_size=own.get("sample_size"))
        model.unet = unet
        model.unet.requires_grad_(False).eval()

    def compare(
        self, adapter: TunedUNet, path: Path, model: StableDiffusion, loaded: StableDiffusion
    ) -> None:
        """Compare all weights.

        Args:
            adapter: What was written.
            path: The file of the weights.
            model: The model in which the UNet was tuned.
            loaded: Another one, into which it was loaded.

        Raises:
            AdapterVerificationError: If one differs.
        """
        expected, found = model.unet.state_dict(), loaded.unet.state_dict()
        different = [
            name
            for name in sorted(expected.keys() | found.keys())
            if name not in expected
            or name not in found
            or not torch.equal(expected[name], found[name])
        ]
        if different:
            raise AdapterVerificationError(
                f"Expected {path} to hold the trained UNet, but {len(different)} of its weights "
                f"differ; the first is `{different[0]}`."
            )

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how the UNet is used in another program."""
        if program == "diffusers":
            unet = f"UNet2DConditionModel.from_pretrained({literal(shown(path.parent))})"
            imports = ("from diffusers import UNet2DConditionModel",)
            return Use((f"pipeline.unet = {unet}",), imports=imports)
        if program == "A1111":
            return Use(note="A1111 loads whole models only, and this is a UNet alone.")
        return Use(
            (
                f"cp {quoted(path)} ComfyUI/models/diffusion_models/{name}.safetensors",
                "# node: Load Diffusion Model; CLIP and VAE are the base's",
            )
        )


def _read(path: Path) -> UNet2DConditionModel:
    from diffusers import UNet2DConditionModel

    unet: UNet2DConditionModel = load_whole(
        UNet2DConditionModel, path.parent, local_files_only=True
    )
    return unet


def _architecture() -> list[str]:
    """List what tells a UNet from another: diffusers' own tools write more into a configuration."""
    from diffusers import UNet2DConditionModel

    parameters = inspect.signature(UNet2DConditionModel.__init__).parameters
    # the size that it draws by default is no part of it: it draws others too
    return sorted(parameters.keys() - {"self", "sample_size"})
