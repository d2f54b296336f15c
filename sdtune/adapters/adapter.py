"""What every kind of adapter is, apart from the model that it was trained in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Self

import torch

from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["Adapter"]


class Adapter(ABC):
    """What was learned, of one kind, as tensors on the CPU.

    Its class is the kind: formats say which one they hold.

    Attributes:
        kind: What it is called in messages.
        loads_first: Whether other kinds are trained around it, and are loaded after it.
    """

    kind: ClassVar[str]
    loads_first: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def from_model(cls, model: StableDiffusion) -> Self:
        """Copy it out of a model, so that further training does not touch it.

        Args:
            model: A bundle in which it learns.

        Returns:
            A copy.

        Raises:
            ValueError: If the model has none.
        """

    @classmethod
    @abstractmethod
    def remove(cls, model: StableDiffusion) -> None:
        """Take all of this kind out of a model, in place.

        Args:
            model: A bundle. Without any this does nothing.
        """

    @property
    def title(self) -> str:
        """What it is called in messages, more precisely than its kind where that matters."""
        return self.kind

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of its tensors."""
        return torch.float32

    @property
    def content_sha256(self) -> str:
        """SHA-256 of what was learned, by which its files in several formats know each other.

        Empty for a kind that has one format.
        """
        return ""

    def to(self, dtype: torch.dtype) -> Self:
        """Round it.

        Args:
            dtype: A floating type.

        Returns:
            A copy with tensors of that type; of a kind that is not rounded, itself.
        """
        return self
