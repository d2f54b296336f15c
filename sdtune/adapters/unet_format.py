"""A whole UNet that was fine-tuned, in the files that diffusers keeps a UNet in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdtune.adapters.verification import AdapterVerificationError, evaluating, prediction
from sdtune.files import tensor_file
from sdtune.files.atomic_file import replaced_atomically
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

__all__ = ["CONFIG_NAME", "FILE_NAME", "TunedUNet", "holds_unet", "load"]

FILE_NAME = "diffusion_pytorch_model.safetensors"
CONFIG_NAME = "config.json"


@dataclass(frozen=True)
class TunedUNet:
    """A copy of a UNet that was fine-tuned as a whole.

    Attributes:
        weights: Name -> tensor on the CPU, as large as the UNet: 3.4 GB for Stable Diffusion 1.
        config: What diffusers builds the UNet from.
    """

    weights: Mapping[str, Tensor]
    config: Mapping[str, Any]

    @classmethod
    def from_model(cls, model: StableDiffusion) -> TunedUNet:
        """Copy the UNet out of a model.

        Args:
            model: A bundle without adapters.

        Returns:
            A copy on the CPU, which further training does not touch.
        """
        weights = {
            name: weight.detach().to("cpu", copy=True).contiguous()
            for name, weight in model.unet.state_dict().items()
        }
        return cls(weights, _config(model.unet))

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write a folder for `UNet2DConditionModel.from_pretrained`.

        Args:
            folder: Where `diffusion_pytorch_model.safetensors` and `config.json` go.
            metadata: Strings for the weights' header.

        Returns:
            The path of the weights.

        Raises:
            FileExistsError: If files of these names are there which sdtune did not write.
        """
        folder = Path(folder)
        path, config = folder / FILE_NAME, folder / CONFIG_NAME
        if config.exists() and not path.exists():
            raise FileExistsError(
                f"Expected {config} to be free, but a file is there that sdtune did not write: "
                "move it away or choose another folder."
            )
        tensor_file.write(path, self.weights, metadata or {})
        with replaced_atomically(config) as temporary:
            temporary.write_text(json.dumps(self.config, indent=2, sort_keys=True) + "\n")
        return path

    def verify(self, path: str | Path, model: StableDiffusion) -> None:
        """Load the files back through diffusers' reader and compare with the model.

        Args:
            path: What `save` returned.
            model: The model that this was taken from; it is left as it was.

        Raises:
            AdapterVerificationError: If a weight differs at all, or a prediction by more
                than rounding.
        """
        tuned, loaded = model.unet, _read(path)
        expected, found = tuned.state_dict(), loaded.state_dict()
        different = [
            name
            for name in sorted(expected.keys() | found.keys())
            if name not in expected
            or name not in found
            or not torch.equal(expected[name].cpu(), found[name])
        ]
        if different:
            raise AdapterVerificationError(
                f"Expected {path} to hold the trained UNet, but {len(different)} of its weights "
                f"differ; the first is `{different[0]}`."
            )
        with evaluating(model):
            drawn = prediction(model)
            try:
                model.unet = loaded.to(model.device, memory_format=torch.channels_last).eval()
                drawn_again = prediction(model)
            finally:
                model.unet = tuned
        if not torch.allclose(drawn, drawn_again, rtol=0.0, atol=1e-3):  # also catches nan
            raise AdapterVerificationError(
                f"Expected {path} to predict what the trained UNet does, but it does not."
            )


def holds_unet(path: str | Path) -> bool:
    """Tell whether a file holds the weights of a whole UNet: by its name, which diffusers fixes.

    Args:
        path: A file.

    Returns:
        Whether it has that name, and its configuration is beside it.
    """
    path = Path(path)
    return path.name == FILE_NAME and path.with_name(CONFIG_NAME).is_file()


def load(model: StableDiffusion, path: str | Path) -> None:
    """Put a tuned UNet in the place of a model's own, frozen.

    Args:
        model: The base that it was tuned from, or another of its architecture.
        path: The file of the weights, its configuration beside it.

    Raises:
        ValueError: If the architectures differ.
    """
    unet, own = _read(path), _config(model.unet)
    other = _config(unet)
    different = [name for name in sorted(own.keys() | other.keys()) if _differ(name, own, other)]
    if different:
        raise ValueError(
            f"Expected {path} to be a UNet of the architecture of {model.source}, but `"
            f"{different[0]}` is {other.get(different[0])} and not {own.get(different[0])}: give "
            "the base that it was tuned from."
        )
    model.unet = unet.to(model.device, model.dtype, memory_format=torch.channels_last)
    model.unet.requires_grad_(False).eval()


def _read(path: str | Path) -> UNet2DConditionModel:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel.from_pretrained(Path(path).parent, local_files_only=True)


def _config(unet: UNet2DConditionModel) -> dict[str, Any]:
    config = json.loads(unet.to_json_string())
    config.pop("_name_or_path", None)  # a folder of this machine
    return config


def _differ(name: str, own: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return not name.startswith("_") and own.get(name) != other.get(name)
