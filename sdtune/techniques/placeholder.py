"""What the techniques share that learn words: their captions, rows and how far these go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from sdtune.adapters.words import (
    add_token_embedding,
    find_token_embeddings,
    target_norms,
    without_token_embeddings,
)
from sdtune.adapters.words.placeholder import (
    EmbeddingNorm,
    Placeholder,
    check_token_embedding_arguments,
    initial_ids,
)
from sdtune.models import Conditioning, check_base, load_tokenizers
from sdtune.techniques.base import DiffusionFineTuningModule

__all__ = ["PlaceholderModule", "check_placeholder"]


def check_placeholder(base: str, placeholder: Placeholder, embedding_norm: EmbeddingNorm) -> None:
    """Check a word by the vocabulary of a base, of which the tokenizer alone is loaded.

    Args:
        base: As in `check_base`. One that cannot be loaded is passed over here.
        placeholder: The word, see `check_token_embedding_arguments`.
        embedding_norm: Likewise.

    Raises:
        TypeError: If `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, the word is in the vocabulary already, or
            its initializer is of too many tokens, with a line for each.
    """
    check_token_embedding_arguments(
        placeholder.token, placeholder.initializer_token, placeholder.num_vectors, embedding_norm
    )
    try:
        check_base(base)
    except ValueError:
        return
    for tokenizer in load_tokenizers(base):
        initial_ids(tokenizer, placeholder)


@runtime_checkable
class _HasCaptions(Protocol):
    def captions(self) -> list[str]:
        """List the distinct captions."""
        ...


class PlaceholderModule(DiffusionFineTuningModule):
    """Base of the techniques that learn words; a subclass sets the attributes below.

    The text encoder runs, at every step, for the captions that hold a word and for no others.

    Attributes:
        placeholders: The words, what they start from, and how many tokens they are.
        embedding_norm: Which norm their rows keep, see `target_norms`.
    """

    placeholders: Sequence[Placeholder]
    embedding_norm: EmbeddingNorm

    _norms: Sequence[Tensor | None] = ()

    @property
    def trains_text_encoder(self) -> bool:
        """Always: gradients reach the words through the text encoder, frozen as it is."""
        return True

    @property
    def learns_embedding(self) -> bool:
        """Whether the words are still being learned."""
        return True

    @property
    def embedding_rows(self) -> list[nn.Parameter]:
        """(num_vectors, d) float32 for each text encoder and word, as they are now.

        Returns:
            The parameters that learn.
        """
        embeddings = find_token_embeddings(self.model)
        if not embeddings:
            raise RuntimeError("Expected `add_placeholders` to be called before, but it was not.")
        return [rows for embedding in embeddings for rows in embedding.rows]

    def problems_with(self, data: object) -> list[str]:
        """Tell which word no caption holds, so that nothing would be learned of it."""
        problems = super().problems_with(data)
        try:
            captions = data.captions() if isinstance(data, _HasCaptions) else []
        except ValueError:  # the data's own problems, which it lists itself
            return problems
        text = "\n".join(captions).lower()
        missing = [each.token for each in self.placeholders if each.token not in text]
        return problems + [
            f"Expected captions that hold `{token}`, but none of {len(captions)} does, such as "
            f"{captions[0]!r}: put the word into `data.instance_prompt`, "
            "`data.caption_replacements` or `data.trigger`, or give `model.placeholder_token` the "
            "word of the captions."
            for token in missing
            if captions
        ]

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            Whether the caption holds a word, as long as those are learned.
        """
        text = caption.lower()
        return self.learns_embedding and any(each.token in text for each in self.placeholders)

    def add_placeholders(self) -> None:
        """Add the words to the text encoders and their tokenizers."""
        for each in self.placeholders:
            add_token_embedding(self.model, each.token, each.initializer_token, each.num_vectors)
        self._norms = [
            target_norms(rows, embedding.frozen_table.weight, self.embedding_norm)
            for embedding in find_token_embeddings(self.model)
            for rows in embedding.rows
        ]
        self._restore_norms()

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, and bring the words' rows back to the norms that they keep."""
        super().optimizer_step(*args, **kwargs)
        if self.learns_embedding:
            self._restore_norms()

    def hold_average(self) -> None:
        """Put the average into the module, at the norms that the words' rows keep."""
        super().hold_average()
        self._restore_norms()

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Switch off what has been learned, for a while; the initializer's words are read."""
        with super().untuned(), without_token_embeddings(self.model):
            yield

    def _conditioning(self, captions: Sequence[str]) -> Conditioning:
        """Encode each caption once, those that hold a word anew, and look the others up."""
        conditioning = self._prompts.batch(captions, self._encode, self.encodes_anew, self.device)
        if any(self.encodes_anew(caption) for caption in captions):
            return conditioning
        return self._connected(conditioning)

    def _connected(self, conditioning: Conditioning) -> Conditioning:
        """Add nothing of the rows, so that they have a gradient where no caption holds them."""
        if not torch.is_grad_enabled() or not self._needs_connection:
            return conditioning
        nothing = 0.0 * torch.stack([rows.sum() for rows in self.embedding_rows]).sum()
        hidden_states = conditioning.encoder_hidden_states
        return replace(
            conditioning, encoder_hidden_states=hidden_states + nothing.to(hidden_states)
        )

    @property
    def _needs_connection(self) -> bool:
        return self.learns_embedding

    @torch.no_grad()
    def _restore_norms(self) -> None:
        for rows, wanted in zip(self.embedding_rows, self._norms, strict=True):
            if wanted is not None:
                norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
                rows.mul_(wanted.to(rows.device) / norms)
