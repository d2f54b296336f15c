"""What the techniques share that learn a word: its captions, its rows and how far they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sdtune.adapters.placeholder import (
    EmbeddingNorm,
    Placeholder,
    check_token_embedding_arguments,
    initial_ids,
)
from sdtune.adapters.token_embedding import (
    add_token_embedding,
    find_token_embedding,
    target_norms,
    without_token_embeddings,
)
from sdtune.models import Conditioning, check_base, load_tokenizer
from sdtune.techniques.base import DiffusionFineTuningModule

__all__ = ["PlaceholderModule", "check_placeholder"]


def check_placeholder(
    base: str,
    placeholder_token: str,
    initializer_token: str,
    num_vectors: int,
    embedding_norm: EmbeddingNorm,
) -> None:
    """Check a word by the vocabulary of a base, of which the tokenizer alone is loaded.

    Args:
        base: As in `check_base`. One that cannot be loaded is passed over here.
        placeholder_token: See `check_token_embedding_arguments`, as for the others.
        initializer_token: Likewise.
        num_vectors: Likewise.
        embedding_norm: Likewise.

    Raises:
        TypeError: If `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, the word is in the vocabulary already, or
            its initializer is of too many tokens, with a line for each.
    """
    check_token_embedding_arguments(
        placeholder_token, initializer_token, num_vectors, embedding_norm
    )
    try:
        check_base(base)
    except ValueError:
        return
    placeholder = Placeholder(placeholder_token, num_vectors, initializer_token)
    initial_ids(load_tokenizer(base), placeholder)


@runtime_checkable
class _HasCaptions(Protocol):
    def captions(self) -> list[str]:
        """List the distinct captions."""
        ...


class PlaceholderModule(DiffusionFineTuningModule):
    """Base of the techniques that learn a word; a subclass sets the attributes below.

    The text encoder runs, at every step, for the captions that hold the word and for no others.

    Attributes:
        placeholder_token: The word.
        initializer_token: The words that it starts from, and that the untuned base reads instead.
        num_vectors: How many tokens the word is.
        embedding_norm: Which norm its rows keep, see `target_norms`.
    """

    placeholder_token: str
    initializer_token: str
    num_vectors: int
    embedding_norm: EmbeddingNorm

    _norms: Tensor | None = None

    @property
    def trains_text_encoder(self) -> bool:
        """Always: gradients reach the word through the text encoder, frozen as it is."""
        return True

    @property
    def learns_embedding(self) -> bool:
        """Whether the word is still being learned."""
        return True

    @property
    def embedding_rows(self) -> nn.Parameter:
        """(num_vectors, d) float32, the word as it is now.

        Returns:
            The parameter that learns.
        """
        embedding = find_token_embedding(self.model)
        if embedding is None:
            raise RuntimeError("Expected `add_placeholder` to be called before, but it was not.")
        return embedding.rows[0]

    def problems_with(self, data: object) -> list[str]:
        """Tell if no caption holds the word, so that nothing would be learned."""
        try:
            captions = data.captions() if isinstance(data, _HasCaptions) else []
        except ValueError:  # the data's own problems, which it lists itself
            captions = []
        if not captions or any(self.placeholder_token in each.lower() for each in captions):
            return []
        return [
            f"Expected captions that hold `{self.placeholder_token}`, but none of {len(captions)} "
            f"does, such as {captions[0]!r}: put the word into `data.instance_prompt`, "
            "`data.caption_replacements` or `data.trigger`, or give `model.placeholder_token` the "
            "word of the captions."
        ]

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            Whether the caption holds the word, as long as that is learned.
        """
        return self.learns_embedding and self.placeholder_token in caption.lower()

    def add_placeholder(self) -> None:
        """Add the word to the text encoder and its tokenizer."""
        rows = add_token_embedding(
            self.model, self.placeholder_token, self.initializer_token, self.num_vectors
        )
        embedding = find_token_embedding(self.model)
        if embedding is not None:
            self._norms = target_norms(rows, embedding.frozen_table.weight, self.embedding_norm)
        self._restore_norms()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, and bring the word's rows back to the norm that they keep."""
        super().optimizer_step(*args, **kwargs)
        self._restore_norms()

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Switch off what has been learned, for a while; the initializer's words are read."""
        with super().untuned(), without_token_embeddings(self.model):
            yield

    def _conditioning(self, captions: Sequence[str]) -> Conditioning:
        """Encode each caption once, those that hold the word anew, and look the others up."""
        distinct = list(dict.fromkeys(captions))
        anew = [caption for caption in distinct if self.encodes_anew(caption)]
        known = [caption for caption in distinct if not self.encodes_anew(caption)]
        # one by one, so that no bit depends on which of them were met together
        self._remember(known, at_once=1)
        parts = []
        if anew:
            parts.append(self.model.encode_prompts(anew, self.clip_skip).encoder_hidden_states)
        if known:
            rows = torch.stack([self._embeddings[caption] for caption in known])
            dtype = parts[0].dtype if parts else rows.dtype
            parts.append(rows.to(self.device, dtype, non_blocking=True))
        hidden_states = torch.cat(parts) if len(parts) > 1 else parts[0]
        order = {caption: row for row, caption in enumerate(anew + known)}
        if list(captions) != list(order):
            hidden_states = hidden_states[[order[caption] for caption in captions]]
        return Conditioning(hidden_states if anew else self._connected(hidden_states))

    def _connected(self, hidden_states: Tensor) -> Tensor:
        """Add nothing of the rows, so that they have a gradient where no caption holds them."""
        if not torch.is_grad_enabled() or not self._needs_connection:
            return hidden_states
        return hidden_states + 0.0 * self.embedding_rows.sum().to(hidden_states)

    @property
    def _needs_connection(self) -> bool:
        return self.learns_embedding

    @torch.no_grad()
    def _restore_norms(self) -> None:
        if self._norms is not None and self.learns_embedding:
            rows = self.embedding_rows
            norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
            rows.mul_(self._norms.to(rows.device) / norms)
