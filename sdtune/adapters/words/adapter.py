"""A learned word apart from the model that it was trained in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sdtune.adapters.adapter import Adapter
from sdtune.adapters.words.layers import (
    find_token_embeddings,
    learned_placeholders,
    remove_token_embeddings,
)
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["TokenEmbeddingAdapter"]


@dataclass(frozen=True)
class TokenEmbeddingAdapter(Adapter):
    """A learned word apart from the model it was trained in.

    Attributes:
        placeholder_token: The word.
        vectors: (n, d) float32 on the CPU for each text encoder.
        initializer_token: The words that it was started from, if that is known.
    """

    kind: ClassVar[str] = "learned words"
    loads_first: ClassVar[bool] = True

    placeholder_token: str
    vectors: Sequence[Tensor]
    initializer_token: str = ""

    @classmethod
    def from_model(
        cls, model: StableDiffusion, placeholder_token: str | None = None
    ) -> TokenEmbeddingAdapter:
        """Copy a word out of a model.

        Args:
            model: A bundle to which `add_token_embedding` has been applied.
            placeholder_token: Which word; None takes the only one.

        Returns:
            A copy, which further training does not touch.

        Raises:
            ValueError: If the model has no such word, or several and none is named.
        """
        placeholders = learned_placeholders(model)
        known = [each.token for each in placeholders]
        wanted = known if placeholder_token is None else [placeholder_token]
        if len(wanted) != 1 or wanted[0] not in known:
            raise ValueError(
                f"Expected `placeholder_token` to be one of the words of the model, "
                f"{', '.join(known) or 'which has none'}, but got {placeholder_token}."
            )
        number = known.index(wanted[0])
        vectors = [
            each.rows[number].detach().to("cpu", torch.float32, copy=True)
            for each in find_token_embeddings(model)
        ]
        return cls(wanted[0], vectors, placeholders[number].initializer_token)

    @property
    def num_vectors(self) -> int:
        """How many tokens the word is."""
        return len(self.vectors[0])

    @classmethod
    def remove(cls, model: StableDiffusion) -> None:
        """Take all new words out; see `remove_token_embeddings`.

        Args:
            model: A bundle. Without new words this does nothing.
        """
        remove_token_embeddings(model)
