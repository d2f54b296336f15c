"""Keep VAE posteriors on disk under a name that says all that went into them."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path
from uuid import uuid4

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from sdtune.data.transforms import Box

__all__ = ["LatentCache", "default_cache_dir", "latent_key", "replace_file"]

log = logging.getLogger(__name__)

# part of every key: raise it when pictures are read, resized or stored in another way
VERSION = 2  # 2: colour profiles, true bit depth, JPEGs decoded small


def default_cache_dir() -> Path:
    """Name the folder for caches: `$SDTUNE_CACHE`, or `~/.cache/sdtune`."""
    return Path(os.environ.get("SDTUNE_CACHE") or "~/.cache/sdtune").expanduser()


def latent_key(
    picture: bytes, encoder: str, target: tuple[int, int], box: Box, flipped: bool
) -> str:
    """Name a latent by its content, so that a stale one is never found.

    Args:
        picture: The bytes of the picture's file.
        encoder: What the VAE is: its weights, its dtype.
        target: Width and height that the VAE reads, in pixels.
        box: The part of the picture that it reads; see `sdtune.data.transforms.crop_box`.
        flipped: Whether it reads the picture mirrored.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(picture).hexdigest()
    parts = [VERSION, digest, encoder, target, box, flipped]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Args:
        path: The file; its folder exists.
        data: Its content.
    """
    # each writer has its own temporary name, so that two runs may fill one cache at once
    temporary = path.with_name(f"{uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


class LatentCache:
    """Moments of VAE posteriors, one safetensors file each.

    A file that is cut off, damaged or of another format counts as absent. A folder that cannot be
    written to costs a warning and no more.

    Args:
        folder: Where the files are; made when first written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._writable = True

    def get(self, key: str) -> Tensor | None:
        """Read one entry.

        Args:
            key: A name from `latent_key`.

        Returns:
            (2C, h, w) float32, or None if there is no whole entry.
        """
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                moments: Tensor = file.get_tensor("moments")
                expected = (file.metadata() or {}).get("sha256")
        except (SafetensorError, OSError) as error:
            log.warning(
                "The cached latent %s cannot be read (%s); it is computed again.", path, error
            )
            return None
        if moments.dtype != torch.float32 or _checksum(moments) != expected:
            log.warning("The cached latent %s is damaged; it is computed again.", path)
            return None
        return moments

    def put(self, key: str, moments: Tensor) -> None:
        """Write one entry, whole or not at all.

        Args:
            key: A name from `latent_key`.
            moments: (2C, h, w) mean and log-variance.
        """
        if not self._writable:
            return
        moments = moments.detach().to("cpu", torch.float32).contiguous()
        data = save({"moments": moments}, metadata={"sha256": _checksum(moments)})
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data)
        except OSError as error:
            self._writable = False
            log.warning(
                "Latents are kept in memory only: %s cannot be written to (%s).", self.folder, error
            )

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.safetensors"


def _checksum(moments: Tensor) -> str:
    # safetensors notices a file of the wrong length, but no flipped bit
    return hashlib.sha256(moments.contiguous().numpy().tobytes()).hexdigest()
