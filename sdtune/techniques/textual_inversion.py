"""A subject or a style as a new word."""

from __future__ import annotations

from typing import Any

from sdtune.adapters.words import EmbeddingNorm
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.learned_words import LearnedWords, word_of
from sdtune.techniques.method import Method

__all__ = ["TextualInversionModule"]


class TextualInversionModule(DiffusionFineTuningModule):
    """Learns a word for what a few pictures show, and changes nothing else (Gal et al. 2022).

    The word's rows beside the text encoder's table are the only parameters
    (https://arxiv.org/abs/2208.01618): all other rows are frozen, without gradient, optimizer
    state or decay. Captions must hold the word, as `SubjectDataModule` writes them with
    `class_noun`, or `instance_prompt` and `prompt_templates`.

    Args:
        placeholder_token: The word, in angle brackets and lower case, such as `<erica>`. Prompts
            say it alone, however many vectors it has. None makes it of the data's `class_noun`:
            `<robot>`.
        initializer_token: Words of at most `num_vectors` tokens that the base knows, such as
            `cat`: the first values, repeated in turn where they are fewer; and what the base
            reads in place of the placeholder when it is sampled for comparison. None is the data's
            `class_noun`, or its last word where the whole is too many tokens.
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        num_vectors: Tokens that the word is, from 1 to 8; more hold more detail, and are harder
            to put into new scenes.
        embedding_norm: `free`; or the length that each vector is brought back to after every
            step, so that it does not drown the other words: `table`, the mean of the vocabulary's,
            or `initializer`, that of its first values.
        learning_rate: Rate of the vectors.
        weight_decay: Decoupled weight decay of the vectors.
        **kwargs: See `DiffusionFineTuningModule`.

    Raises:
        TypeError: If `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        placeholder_token: str | None = None,
        initializer_token: str | None = None,
        base: str = "nano",
        num_vectors: int = 1,
        embedding_norm: EmbeddingNorm = "free",
        learning_rate: float = 1e-4,
        weight_decay: float = 0.0,
        **kwargs: Any,
    ) -> None:
        word = word_of(placeholder_token, num_vectors, initializer_token)
        words = LearnedWords([word], embedding_norm, rate="learning_rate")
        method = Method(
            learns=[words],
            learning_rates={"learning_rate": learning_rate},
        )
        super().__init__(method, base=base, weight_decay=weight_decay, **kwargs)
        self.words = words
