"""The untuned base's pictures, drawn once and kept under a name that says all they depend on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sdtune.files.cache_folder import default_cache_dir
from sdtune.files.kept_tensors import KeptTensors
from sdtune.models.identity import drawing_identity
from sdtune.models.stable_diffusion import Part, StableDiffusion
from sdtune.run_folder.picture_file import to_bytes

__all__ = ["BasePictures", "Draw", "base_fingerprint", "describe_drawer"]

Draw = Callable[[Sequence[str], Sequence[int]], Tensor]
"""From B prompts and seeds to (B, 3, H, W) in [0, 1]."""

# part of every name: raise it when pictures are drawn or stored in another way
VERSION = 2  # 2: named by all that the base computes with, and not by its weights alone


class BasePictures:
    """A cache of pictures that a base draws with one sampler's settings.

    Args:
        drawer: What the pictures depend on besides prompts and seeds: base, sampler, size;
            anything JSON can hold.
        folder: Where they are kept; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.
    """

    def __init__(self, drawer: Mapping[str, Any], folder: str | Path | None = None) -> None:
        self.drawer = dict(drawer)
        self._kept = KeptTensors(folder or default_cache_dir() / "base_pictures")

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
        found = self._kept.find(self._key(prompts, seeds)) or {}
        pictures = found.get("pictures")
        if pictures is None or pictures.dtype != torch.uint8 or len(pictures) != len(prompts):
            return None
        return pictures.float() / 255

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
        self._kept.keep(self._key(prompts, seeds), {"pictures": levels})
        return levels.float() / 255

    def _key(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Any]:
        return [VERSION, self.drawer, list(prompts), list(seeds)]


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
    return {
        **drawing_identity(model),
        "num_inference_steps": num_inference_steps,
        "guidance_scale": guidance_scale,
        "negative_prompt": negative_prompt,
        "clip_skip": clip_skip,
        "size": list(size),
    }


def base_fingerprint(model: StableDiffusion) -> str:
    """Hash all frozen weights of a base, to name it in records.

    A cache needs more than the weights, see `sdtune.models.identity`.

    Args:
        model: The bundle, with or without adapters.

    Returns:
        SHA-256 in hexadecimal.
    """
    parts: tuple[Part, ...] = ("unet", "vae", "text_encoders")
    return sha256(" ".join(model.fingerprint(each) for each in parts).encode()).hexdigest()
