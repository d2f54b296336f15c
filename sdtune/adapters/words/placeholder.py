"""A new word as people write it, and what a base's tokenizer says to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast, get_args

from sdtune._checks import check_all

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = [
    "MAX_VECTORS",
    "EmbeddingNorm",
    "Placeholder",
    "check_token_embedding_arguments",
    "initial_ids",
    "tokens_in_vocabulary",
]

MAX_VECTORS = 8
EmbeddingNorm = Literal["free", "table", "initializer"]

_PLACEHOLDER = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class Placeholder:
    """A word that people write, and the tokens that it is.

    Attributes:
        token: The word, such as `<erica>`.
        num_vectors: How many tokens it is.
        initializer_token: The words that it was started from, and that the untuned model reads in
            its place.
    """

    token: str
    num_vectors: int
    initializer_token: str = ""

    @property
    def tokens(self) -> list[str]:
        """The tokens as diffusers names them: `<erica>`, `<erica>_1`, ….

        Returns:
            `num_vectors` names.
        """
        return [self.token, *(f"{self.token}_{number}" for number in range(1, self.num_vectors))]

    @property
    def expanded(self) -> str:
        """What is tokenized in place of the word."""
        return " ".join(self.tokens)


def check_token_embedding_arguments(
    placeholder_token: str, initializer_token: str, num_vectors: int, embedding_norm: str = "free"
) -> None:
    """Check what can be checked of a new word without a model.

    Args:
        placeholder_token: The word. In angle brackets, because a tokenizer finds an added token
            inside of other words too; in lower case, because CLIP's reads all text so.
        initializer_token: The words it starts from.
        num_vectors: How many tokens it is, from 1 to 8.
        embedding_norm: See `target_norms`.

    Raises:
        TypeError: If `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """
    check_all(
        lambda: _check_placeholder_token(placeholder_token),
        lambda: _check_initializer_token(initializer_token),
        lambda: _check_num_vectors(num_vectors),
        lambda: _check_embedding_norm(embedding_norm),
    )


def initial_ids(tokenizer: CLIPTokenizer, placeholder: Placeholder) -> Sequence[int]:
    """Find the tokens that a new word starts from.

    Args:
        tokenizer: The base's, without the word.
        placeholder: The word.

    Returns:
        Ids of 1 to `num_vectors` tokens.

    Raises:
        ValueError: If the word is in the vocabulary, or its initializer is no token or too many,
            with a line for each.
    """
    ids = cast(
        Sequence[int], tokenizer(placeholder.initializer_token, add_special_tokens=False).input_ids
    )
    check_all(
        lambda: _check_new(tokenizer, placeholder),
        lambda: _check_initial_ids(tokenizer, placeholder, ids),
    )
    return ids


def _check_initial_ids(
    tokenizer: CLIPTokenizer, placeholder: Placeholder, ids: Sequence[int]
) -> None:
    if not 1 <= len(ids) <= placeholder.num_vectors:
        pieces = ", ".join(f"`{each}`" for each in tokenizer.convert_ids_to_tokens(list(ids)))
        wanted = "1 token" if placeholder.num_vectors == 1 else f"1 to {placeholder.num_vectors}"
        raise ValueError(
            f"Expected `initializer_token` to be {wanted} for `num_vectors` "
            f"{placeholder.num_vectors}, but `{placeholder.initializer_token}` is {len(ids)} "
            f"({pieces}): choose a common word, or raise `num_vectors`."
        )


def tokens_in_vocabulary(tokenizer: CLIPTokenizer, placeholder: Placeholder) -> list[str]:
    """Find the tokens of a word that mean something already.

    Args:
        tokenizer: The base's, with other words or not.
        placeholder: The word.

    Returns:
        Those that a new word may not have.
    """
    vocabulary = tokenizer.get_vocab()
    return [token for token in placeholder.tokens if token in vocabulary]


def _check_new(tokenizer: CLIPTokenizer, placeholder: Placeholder) -> None:
    known = tokens_in_vocabulary(tokenizer, placeholder)
    if known:
        raise ValueError(
            f"Expected `placeholder_token` to be a new word, but `{known[0]}` is in the "
            "vocabulary already: choose another one."
        )


def _check_placeholder_token(placeholder_token: str) -> None:
    if not _PLACEHOLDER.fullmatch(placeholder_token) or placeholder_token.lower() != (
        placeholder_token
    ):
        raise ValueError(
            "Expected `placeholder_token` to be a word in angle brackets and lower case, such as "
            f"`<erica>`, which no vocabulary holds, but got `{placeholder_token}`."
        )


def _check_initializer_token(initializer_token: str) -> None:
    if not initializer_token.strip() or _PLACEHOLDER.search(initializer_token):
        raise ValueError(
            "Expected `initializer_token` to be a word that the base knows, such as `cat`, but got "
            f"`{initializer_token}`."
        )


def _check_num_vectors(num_vectors: int) -> None:
    if isinstance(num_vectors, bool) or not isinstance(num_vectors, int):
        raise TypeError(f"Expected `num_vectors` to be an integer, but got {num_vectors!r}.")
    if not 1 <= num_vectors <= MAX_VECTORS:
        raise ValueError(
            f"Expected `num_vectors` to be an integer from 1 to {MAX_VECTORS}, but got "
            f"{num_vectors}."
        )


def _check_embedding_norm(embedding_norm: str) -> None:
    allowed = get_args(EmbeddingNorm)
    if embedding_norm not in allowed:
        names = ", ".join(f"`{each}`" for each in allowed)
        raise ValueError(
            f"Expected `embedding_norm` to be one of {names}, but got `{embedding_norm}`."
        )
