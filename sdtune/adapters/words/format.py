"""What all formats of learned words have in common: they are read without a model."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from sdtune.adapters.format import AdapterFormat
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter

__all__ = ["WordsFormat"]


class WordsFormat(AdapterFormat[TokenEmbeddingAdapter]):
    """A layout of a learned word's file."""

    adapter_type = TokenEmbeddingAdapter

    @abstractmethod
    def read(self, path: Path) -> TokenEmbeddingAdapter:
        """Read a word without a model.

        Args:
            path: The file.

        Returns:
            The word, its vectors and, if its header tells, what it was started from.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds anything else than one word.
        """

    def words(self, path: Path) -> list[TokenEmbeddingAdapter]:
        """Read the word."""
        return [self.read(path)]
