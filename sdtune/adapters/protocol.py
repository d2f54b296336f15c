"""What every kind of adapter offers to those who save it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["Adapter", "ExportableAdapter"]


@runtime_checkable
class Adapter(Protocol):
    """What a technique leaves behind, apart from the model it was trained in."""

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write it into a folder, with strings for the file's header; return the file."""
        ...

    def verify(self, path: str | Path, model: StableDiffusion) -> None:
        """Raise unless the file, loaded back, does what the model does."""
        ...


@runtime_checkable
class ExportableAdapter(Protocol):
    """An adapter that other programs than diffusers have layouts for."""

    def export(
        self,
        folder: str | Path,
        model: StableDiffusion,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write it in those layouts, proved by loading each back; return what was written."""
        ...
