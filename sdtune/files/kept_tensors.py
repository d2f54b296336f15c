"""Tensors that are computed once, and kept under names that say all they depend on."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from sdtune.files.atomic_file import replaced_atomically

__all__ = ["KeptTensors"]

log = logging.getLogger(__name__)


class KeptTensors:
    """A folder of tensors; what is damaged, or cannot be written, is computed again.

    Args:
        folder: The folder; it need not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def find(self, key: Any) -> dict[str, Tensor] | None:
        """Read tensors.

        Args:
            key: All that they depend on; anything JSON can hold.

        Returns:
            Name -> tensor on the CPU; None if they are not kept.
        """
        try:
            found = load_file(self._path(key))
        except (OSError, SafetensorError):
            return None
        # as torch itself lays memory out: sums of vectors may depend on where they begin
        return {name: tensor.clone() for name, tensor in found.items()}

    def keep(self, key: Any, tensors: Mapping[str, Tensor]) -> None:
        """Write tensors for later; what cannot be written is told, and is no fault.

        Args:
            key: As in `find`.
            tensors: Name -> tensor on the CPU.
        """
        path = self._path(key)
        own = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
        try:
            with replaced_atomically(path, synced=False) as temporary:
                temporary.write_bytes(save(own))  # an error of the disk is OSError
        except OSError as error:
            log.warning("%s cannot be written, and is computed again (%s).", path, error)

    def _path(self, key: Any) -> Path:
        digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest}.safetensors"
