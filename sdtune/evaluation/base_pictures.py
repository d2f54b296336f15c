"""The untuned base's pictures, drawn once and kept under a name that says all they depend on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.cache_folder import default_cache_dir
from sdtune.models.quantization import quantization_of
from sdtune.models.stable_diffusion import Part, StableDiffusion
from sdtune.run_folder.picture_file import to_bytes

__all__ = ["BasePictures", "Draw", "base_fingerprint", "describe_drawer"]

log = logging.getLogger(__name__)

Draw = Callable[[Sequence[str], Sequence[int]], Tensor]
"""From B prompts and seeds to (B, 3, H, W) in [0, 1]."""

# part of every name: raise it when pictures are drawn or stored in another way
VERSION = 1


class BasePictures:
    """A cache of pictures that a base draws with one sampler's settings.

    Args:
        drawer: What the pictures depend on besides prompts and seeds: weights, sampler, size;
            anything JSON can hold.
        folder: Where they are kept; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
    """

    def __init__(self, drawer: Mapping[str, Any], folder: str | Path | None = None) -> None:
        self.drawer = dict(drawer)
        self.folder = Path(folder) if folder else default_cache_dir() / "base_pictures"

    def get(self, prompts: Sequence[str], seeds: Sequence[int], draw: Draw) -> Tensor:
        """Read pictures, or draw and keep them.

        Args:
            prompts: B texts.
            seeds: B seeds.
            draw: The base.

        Returns:
            (B, 3, H, W) in [0, 1], multiples of 1/255, on the CPU.
        """
        pictures = self.find(prompts, seeds)
        return self.keep(prompts, seeds, draw(prompts, seeds)) if pictures is None else pictures

    def find(self, prompts: Sequence[str], seeds: Sequence[int]) -> Tensor | None:
        """Read pictures, if they are kept; as in `get`."""
        pictures = _read(self._path(prompts, seeds), len(prompts))
        return None if pictures is None else pictures.float() / 255

    def keep(self, prompts: Sequence[str], seeds: Sequence[int], pictures: Tensor) -> Tensor:
        """Write pictures for later.

        Args:
            prompts: B texts.
            seeds: B seeds.
            pictures: (B, 3, H, W) in [0, 1], finite.

        Returns:
            What will be found, as in `get`.
        """
        levels = to_bytes(pictures)
        _write(self._path(prompts, seeds), levels)
        return levels.float() / 255

    def _path(self, prompts: Sequence[str], seeds: Sequence[int]) -> Path:
        key = json.dumps([VERSION, self.drawer, list(prompts), list(seeds)], sort_keys=True)
        return self.folder / f"{sha256(key.encode()).hexdigest()}.safetensors"


def describe_drawer(
    model: StableDiffusion,
    *,
    num_inference_steps: int,
    guidance_scale: float,
    negative_prompt: str,
    clip_skip: int,
    size: tuple[int, int],
) -> dict[str, Any]:
    """Say all that a base's pictures depend on besides prompts and seeds.

    Args:
        model: The bundle, with or without adapters.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance.
        negative_prompt: What guidance leads away from.
        clip_skip: Text encoder layer, counted from the end.
        size: Width and height, in pixels.

    Returns:
        What `BasePictures` takes.
    """
    drawer = {
        "fingerprint": base_fingerprint(model),
        "precision": str(model.dtype),
        "resolution": model.resolution,
        "noise_scheduler": repr(sorted(model.noise_scheduler.config.items())),
        "num_inference_steps": num_inference_steps,
        "guidance_scale": guidance_scale,
        "negative_prompt": negative_prompt,
        "clip_skip": clip_skip,
    }
    quantization = quantization_of(model)
    if quantization is not None:
        drawer["quantization"] = quantization
    if model.max_prompt_chunks > 1:  # without, pictures of earlier versions are found
        drawer["max_prompt_chunks"] = model.max_prompt_chunks
    if size != (model.resolution, model.resolution):
        drawer["size"] = list(size)
    return drawer


def base_fingerprint(model: StableDiffusion) -> str:
    """Hash all frozen weights of a base, to name it in records and caches.

    Args:
        model: The bundle, with or without adapters.

    Returns:
        SHA-256 in hexadecimal.
    """
    parts: tuple[Part, ...] = ("unet", "vae", "text_encoders")
    return sha256(" ".join(model.fingerprint(each) for each in parts).encode()).hexdigest()


def _read(path: Path, count: int) -> Tensor | None:
    try:
        pictures = load_file(path).get("pictures")
    except (OSError, SafetensorError):
        return None
    is_whole = pictures is not None and pictures.dtype == torch.uint8 and len(pictures) == count
    return pictures if is_whole else None


def _write(path: Path, pictures: Tensor) -> None:
    try:
        with replaced_atomically(path, synced=False) as temporary:
            temporary.write_bytes(save({"pictures": pictures}))  # an error of the disk is OSError
    except OSError as error:
        log.warning("The base's pictures are not kept: %s cannot be written to (%s).", path, error)
