"""Learned words and the weights that were trained with them, as one adapter in several files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.adapters import textual_inversion_format
from sdtune.adapters.cross_attention import CrossAttentionAdapter
from sdtune.adapters.lora import LoRAAdapter
from sdtune.adapters.token_embedding import TokenEmbeddingAdapter
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["EMBEDDING_KEY", "PivotalAdapter"]

EMBEDDING_KEY = "sdtune.embedding_file"
"""Names, in the weights' header, the files beside them that hold the words, with spaces between."""


@dataclass(frozen=True)
class PivotalAdapter:
    """Words, and weights that are tuned around them, apart from the model they were trained in.

    Attributes:
        embeddings: The words.
        weights: A LoRA, or keys and values of the cross-attention.
    """

    embeddings: Sequence[TokenEmbeddingAdapter]
    weights: LoRAAdapter | CrossAttentionAdapter

    def save(self, folder: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
        """Write the weights, and each word to a file of its own: diffusers reads one from each.

        One word goes to `learned_embeds.safetensors`, several to `learned_embeds_1.safetensors`
        and so on. `load_pipeline` loads all when it is given the folder, or the weights, whose
        header names the words' files.

        Args:
            folder: Where the files go.
            metadata: Strings for the files' headers.

        Returns:
            The path of the weights.
        """
        names = self._file_names()
        for embedding, name in zip(self.embeddings, names, strict=True):
            textual_inversion_format.save(embedding, folder, metadata, name)
        return self.weights.save(folder, {**(metadata or {}), EMBEDDING_KEY: " ".join(names)})

    def verify(self, path: str | Path, model: StableDiffusion) -> None:
        """Prove that the saved files do what the model does.

        Args:
            path: The weights that `save` wrote, with the words' files beside them.
            model: The model that this adapter was taken from.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If a file is missing.
        """
        for embedding, name in zip(self.embeddings, self._file_names(), strict=True):
            embedding.verify(Path(path).with_name(name), model)
        self.weights.verify(path, model)

    def export(
        self,
        folder: str | Path,
        model: StableDiffusion,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write the weights for other programs, if they are a LoRA; see `exports.export_lora`.

        Args:
            folder: Where the files go.
            model: The model that this adapter was taken from.
            metadata: Strings for the files' headers.

        Returns:
            What was written.
        """
        if not isinstance(self.weights, LoRAAdapter):
            return []
        return self.weights.export(folder, model, metadata)

    def _file_names(self) -> list[str]:
        default = textual_inversion_format.FILE_NAME
        if len(self.embeddings) == 1:
            return [default]
        stem, _, suffix = default.rpartition(".")
        return [f"{stem}_{number}.{suffix}" for number in range(1, len(self.embeddings) + 1)]
