"""Learned words: rows beside a frozen table, the word apart from it, a file per format."""

from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.layers import (
    TokenEmbedding,
    add_token_embedding,
    find_token_embeddings,
    learned_placeholders,
    remove_token_embeddings,
    target_norms,
    without_token_embeddings,
)
from sdtune.adapters.words.placeholder import EmbeddingNorm, Placeholder

__all__ = [
    "EmbeddingNorm",
    "Placeholder",
    "TokenEmbedding",
    "TokenEmbeddingAdapter",
    "add_token_embedding",
    "find_token_embeddings",
    "learned_placeholders",
    "remove_token_embeddings",
    "target_norms",
    "without_token_embeddings",
]
