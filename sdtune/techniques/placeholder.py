"""What the techniques share that learn a word: its captions, its rows and how far they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.token_embedding import (
    EmbeddingNorm,
    add_token_embedding,
    find_token_embedding,
    target_norms,
    without_token_embeddings,
)
from sdtune.models import Conditioning
from sdtune.techniques.base import DiffusionFineTuningModule

__all__ = ["PlaceholderModule"]


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

    def on_fit_start(self) -> None:
        """Check that some caption holds the word; then encode what stays as it is.

        Raises:
            ValueError: If none does, so that nothing would be learned.
        """
        data = cast(Any, getattr(self.trainer, "datamodule", None))
        captions = data.captions() if hasattr(data, "captions") else None
        if captions and not any(self.placeholder_token in each.lower() for each in captions):
            raise ValueError(
                f"Expected captions that hold `{self.placeholder_token}`, but none of "
                f"{len(captions)} does, such as {captions[0]!r}: put the word into "
                "`data.instance_prompt`, `data.caption_replacements` or `data.trigger`, or give "
                "`model.placeholder_token` the word of the captions."
            )
        super().on_fit_start()

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
