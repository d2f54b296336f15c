"""A learned word and the LoRA that was trained with it, as one adapter in two files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sdtune.adapters import textual_inversion_format
from sdtune.adapters.lora import LoRAAdapter
from sdtune.adapters.token_embedding import TokenEmbeddingAdapter
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["EMBEDDING_KEY", "PivotalAdapter"]

EMBEDDING_KEY = "sdtune.embedding_file"
"""Names, in a LoRA's header, the file beside it that holds the word."""


@dataclass(frozen=True)
class PivotalAdapter:
    """A word and a LoRA apart from the model they were trained in.

    Attributes:
        embedding: The word.
        lora: The LoRA.
    """

    embedding: TokenEmbeddingAdapter
    lora: LoRAAdapter

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write both files.

        `load_pipeline` loads the two when it is given the folder, or the LoRA, whose header names
        the other.

        Args:
            folder: Where the files go.
            metadata: Strings for the files' headers.

        Returns:
            The path of the LoRA.
        """
        embedding_path = self.embedding.save(folder, metadata)
        return self.lora.save(folder, {**(metadata or {}), EMBEDDING_KEY: embedding_path.name})

    def verify(self, path: str | Path, model: StableDiffusion) -> None:
        """Prove that the saved files do what the model does.

        Args:
            path: The LoRA that `save` wrote, with the word's file beside it.
            model: The model that this adapter was taken from.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If a file is missing.
        """
        self.embedding.verify(Path(path).with_name(textual_inversion_format.FILE_NAME), model)
        self.lora.verify(path, model)
