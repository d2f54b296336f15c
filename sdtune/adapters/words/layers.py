"""New words for text encoders: rows that learn, beside their frozen tables (Gal et al. 2022)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdtune.adapters.words.placeholder import (
    EmbeddingNorm,
    Placeholder,
    check_token_embedding_arguments,
    initial_ids,
    tokens_in_vocabulary,
)
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTokenizer

__all__ = [
    "TokenEmbedding",
    "add_token_embedding",
    "find_token_embeddings",
    "learned_placeholders",
    "put_token_embedding",
    "remove_token_embeddings",
    "target_norms",
    "without_token_embeddings",
]


class TokenEmbedding(nn.Module):
    """A text encoder's frozen table with a few new rows beside it.

    The table is neither copied nor enlarged, so that nothing of it can change and the optimizer
    holds the new rows alone. Ids from `first_id` on are new rows, in the order they were added:
    the ids that a tokenizer gives to added tokens, and the rows that diffusers' reader puts at the
    end of the table.

    Args:
        frozen_table: The table, (V, d).
        base_tokenizer: The tokenizer without placeholders, for when they are removed.
    """

    def __init__(self, frozen_table: nn.Embedding, base_tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.frozen_table = frozen_table  # the name that `fingerprint` looks for
        self.base_tokenizer = base_tokenizer
        self.first_id = len(base_tokenizer)
        self.placeholders: list[Placeholder] = []
        self.rows = nn.ParameterList()

    def forward(self, input_ids: Tensor) -> Tensor:
        """Look tokens up.

        Args:
            input_ids: (B, L) int64.

        Returns:
            (B, L, d) in the table's precision, with gradients to the new rows alone.
        """
        is_new = input_ids >= self.first_id
        embeddings = self.frozen_table(input_ids.masked_fill(is_new, 0))
        positions = (input_ids - self.first_id).clamp(min=0)
        rows = F.embedding(positions, torch.cat(list(self.rows)))  # (n, d) -> (B, L, d)
        return torch.where(is_new[..., None], rows.to(embeddings.dtype), embeddings)


def add_token_embedding(
    model: StableDiffusion, placeholder_token: str, initializer_token: str, num_vectors: int = 1
) -> list[nn.Parameter]:
    """Add a word to every text encoder and its tokenizer, started from words that it knows.

    Prompts may say the word alone: `tokenize` writes it out, `<erica> <erica>_1 …`.

    Args:
        model: A bundle, with or without other new words.
        placeholder_token: The word, see `check_token_embedding_arguments`.
        initializer_token: Words of at most `num_vectors` tokens, whose rows of the table are the
            first values; where they are fewer, they are repeated in turn.
        num_vectors: How many tokens the word is.

    Returns:
        (num_vectors, d) float32 rows for each text encoder, which learn.

    Raises:
        TypeError: If `num_vectors` is no integer.
        ValueError: If an argument is out of its range, the word is in a vocabulary or the
            initializer is too long.
    """
    check_token_embedding_arguments(placeholder_token, initializer_token, num_vectors)
    placeholder = Placeholder(placeholder_token, num_vectors, initializer_token)
    ids = [initial_ids(tokenizer, placeholder) for tokenizer in model.tokenizers]
    pairs = zip(_frozen_tables(model), ids, strict=True)
    return put_token_embedding(
        model, placeholder, [_initial_rows(table, known, num_vectors) for table, known in pairs]
    )


def put_token_embedding(
    model: StableDiffusion, placeholder: Placeholder, vectors: Sequence[Tensor]
) -> list[nn.Parameter]:
    """Add a word with its vectors, however it is written: other programs' have other names.

    Args:
        model: A bundle, with or without other new words.
        placeholder: The word.
        vectors: (num_vectors, d) for each text encoder.

    Returns:
        float32 rows with these values for each text encoder, which learn.

    Raises:
        ValueError: If the word is in a vocabulary, or the vectors do not fit the text encoders.
    """
    for tokenizer in model.tokenizers:
        if known := tokens_in_vocabulary(tokenizer, placeholder):
            raise ValueError(
                f"Expected the word `{placeholder.token}` to be a new one, but `{known[0]}` is in "
                "the vocabulary already: if its file names no word, give the file another name."
            )
    shapes = [(placeholder.num_vectors, each.weight.shape[1]) for each in _frozen_tables(model)]
    found = [tuple(each.shape) for each in vectors]
    if found != shapes:
        raise ValueError(
            f"Expected the word `{placeholder.token}` to be for text encoders of width "
            f"{', '.join(str(width) for _, width in shapes)}, but it is "
            f"{' and '.join(f'{rows} x {width}' for rows, width in found)}: give the base that it "
            "was trained on."
        )
    embeddings = find_token_embeddings(model) or _wrap(model)
    parameters = []
    for embedding, tokenizer, values in zip(embeddings, model.tokenizers, vectors, strict=True):
        device = embedding.frozen_table.weight.device
        parameter = nn.Parameter(values.detach().to(device, torch.float32, copy=True))
        embedding.rows.append(parameter)
        embedding.placeholders.append(placeholder)
        tokenizer.add_tokens(placeholder.tokens)
        parameters.append(parameter)
    model.substitutions[placeholder.token] = placeholder.expanded
    return parameters


def find_token_embeddings(model: StableDiffusion) -> list[TokenEmbedding]:
    """Find the new words of a model.

    Args:
        model: A bundle.

    Returns:
        The modules that hold them, one for each text encoder; none if there are no new words.
    """
    tables = [cast("CLIPTextModel", each).get_input_embeddings() for each in model.text_encoders]
    return [each for each in tables if isinstance(each, TokenEmbedding)]


def learned_placeholders(model: StableDiffusion) -> list[Placeholder]:
    """List the new words of a model, which are the same for all its text encoders.

    Args:
        model: A bundle.

    Returns:
        The words, in the order in which they were added.
    """
    embeddings = find_token_embeddings(model)
    return list(embeddings[0].placeholders) if embeddings else []


def remove_token_embeddings(model: StableDiffusion) -> None:
    """Take all new words out, so that text encoders and tokenizers are the base's again.

    Args:
        model: A bundle. Without new words this does nothing.
    """
    for placeholder in learned_placeholders(model):
        del model.substitutions[placeholder.token]
    for number, embedding in enumerate(find_token_embeddings(model)):
        text_encoder = cast("CLIPTextModel", model.text_encoders[number])
        text_encoder.set_input_embeddings(embedding.frozen_table)
        model.tokenizers[number] = embedding.base_tokenizer


@contextmanager
def without_token_embeddings(model: StableDiffusion) -> Iterator[None]:
    """Read the words that placeholders were started from in their place, for a while.

    So the untuned base is asked for what it can know: `<erica> on the moon`, started from `cat`,
    is `cat on the moon`.

    Args:
        model: A bundle. Without new words this does nothing.

    Yields:
        Nothing.
    """
    learned = dict(model.substitutions)
    model.substitutions.update(
        {each.token: each.initializer_token for each in learned_placeholders(model)}
    )
    try:
        yield
    finally:
        model.substitutions = learned


def target_norms(rows: Tensor, table: Tensor, embedding_norm: EmbeddingNorm) -> Tensor | None:
    """Find the norms that rows shall keep; long rows drown the other words of a prompt.

    Args:
        rows: (n, d) the rows as they start.
        table: (V, d) the frozen table.
        embedding_norm: `free` keeps none; `table` is the mean norm of the table's rows;
            `initializer` is each row's own.

    Returns:
        (n, 1) float32, or None if they are free.
    """
    if embedding_norm == "free":
        return None
    norms: Tensor = torch.linalg.vector_norm(rows.detach().float(), dim=1, keepdim=True)
    if embedding_norm == "initializer":
        return norms
    mean: Tensor = torch.linalg.vector_norm(table.detach().float(), dim=1).mean()
    return mean.expand_as(norms).clone()


def _frozen_tables(model: StableDiffusion) -> list[nn.Embedding]:
    tables = [cast("CLIPTextModel", each).get_input_embeddings() for each in model.text_encoders]
    return [
        each.frozen_table if isinstance(each, TokenEmbedding) else cast(nn.Embedding, each)
        for each in tables
    ]


def _wrap(model: StableDiffusion) -> list[TokenEmbedding]:
    embeddings = []
    for number, each in enumerate(model.text_encoders):
        text_encoder = cast("CLIPTextModel", each)
        table = cast(nn.Embedding, text_encoder.get_input_embeddings())
        # no tokenizer forgets a token: a copy learns the new ones
        base_tokenizer = model.tokenizers[number]
        model.tokenizers[number] = copy.deepcopy(base_tokenizer)
        embedding = TokenEmbedding(table, base_tokenizer)
        embedding.train(table.training)
        text_encoder.set_input_embeddings(embedding)
        embeddings.append(embedding)
    return embeddings


@torch.no_grad()
def _initial_rows(table: nn.Embedding, ids: Sequence[int], num_vectors: int) -> Tensor:
    known = table(torch.tensor(ids, device=table.weight.device)).float()
    return torch.stack([known[number % len(known)] for number in range(num_vectors)])  # (n, d)
