"""Learned words as diffusers' `load_textual_inversion` reads them, and A1111 with it.

The file holds one tensor, {`<erica>`: (n, d)}. diffusers takes the word from its key; A1111 takes
it from the file's name instead, so there a copy named `erica.safetensors` is called by `erica`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sdtune.adapters.library_messages import dropped_messages
from sdtune.adapters.usage import Program, Use, literal, quoted, shown
from sdtune.adapters.verification import (
    AdapterVerificationError,
    check_same_output,
    evaluating,
    frozen_copy,
)
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.format import WordsFormat
from sdtune.adapters.words.layers import remove_token_embeddings
from sdtune.adapters.words.placeholder import Placeholder
from sdtune.files import tensor_file
from sdtune.files.tensor_file import TensorHeader
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from transformers import CLIPTextModel

__all__ = ["TextualInversionFormat"]

# what the untuned base reads in the word's place; each file names its own word's
_INITIALIZER_KEY = "sdtune.initializer_token"
_TRIGGER_KEY = "modelspec.trigger_phrase"

# the reader overwrites what it is about
_MISLEADING = "The new embeddings will be initialized"


class TextualInversionFormat(WordsFormat):
    """`learned_embeds.safetensors`, a word to a file."""

    name = "textual inversion"
    file_name = "learned_embeds.safetensors"
    made_for = ("diffusers", "A1111", "ComfyUI")
    own_keys = frozenset({_INITIALIZER_KEY, _TRIGGER_KEY})

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether it is one tensor of one or two dimensions."""
        return [len(shape) in (1, 2) for shape in header.shapes.values()] == [True]

    def write(
        self, adapter: TokenEmbeddingAdapter, path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write a word, and in the header also the word and what it was started from.

        Raises:
            ValueError: If the word has vectors for several text encoders.
        """
        if len(adapter.vectors) != 1:
            raise ValueError(
                f"Expected a word for one text encoder, but `{adapter.placeholder_token}` has "
                f"vectors for {len(adapter.vectors)}, which the {self.name} format cannot hold."
            )
        header = {**metadata, _TRIGGER_KEY: adapter.placeholder_token}
        if adapter.initializer_token:
            header[_INITIALIZER_KEY] = adapter.initializer_token
        tensor_file.write(
            path, {adapter.placeholder_token: adapter.vectors[0].contiguous()}, header
        )

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
        header = tensor_file.read_header(path)
        if not self.recognises(path, header):
            raise ValueError(f"Expected {path} to hold one tensor of a word, but it does not.")
        [(token, vectors)] = load_file(path).items()
        initializer = header.metadata.get(_INITIALIZER_KEY, "")
        return TokenEmbeddingAdapter(token, [torch.atleast_2d(vectors).float()], initializer)

    def load(self, model: StableDiffusion, path: Path) -> None:
        """Load a word into a model, in place and frozen, with diffusers' own reader.

        The reader puts the vectors at the end of the table, rounded to its precision.

        Args:
            model: A bundle without that word.
            path: The file.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds anything else, the word is in the vocabulary, or the vectors
                are of another width than the text encoder's.
        """
        adapter = self.read(path)
        tables = [
            cast(nn.Embedding, cast("CLIPTextModel", each).get_input_embeddings())
            for each in model.text_encoders
        ]
        widths = [table.weight.shape[1] for table in tables]
        if [vectors.shape[1] for vectors in adapter.vectors] != widths:
            raise ValueError(
                f"Expected {path} to be for a text encoder of width {', '.join(map(str, widths))}, "
                f"but it holds vectors of {adapter.vectors[0].shape[1]}: it was trained on another "
                "kind of base."
            )
        # the reader draws initial values and then overwrites them
        with isolated_random_state(), dropped_messages(_MISLEADING, "transformers.modeling_utils"):
            model.pipeline().load_textual_inversion(path.parent, weight_name=path.name)
        for table in tables:
            table.requires_grad_(False)
        placeholder = Placeholder(adapter.placeholder_token, adapter.num_vectors)
        model.substitutions[placeholder.token] = placeholder.expanded

    @torch.no_grad()
    def verify(self, adapter: TokenEmbeddingAdapter, path: Path, model: StableDiffusion) -> None:
        """Load a file back into a fresh text encoder and compare with the model it came from.

        Compared are the vectors, and what a prompt with the word is encoded to, by diffusers'
        pipeline and by the model. The model, its modes and the random state are left as they were.

        Args:
            adapter: The word.
            path: The file.
            model: The bundle whose word was saved.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If there is no such file.
        """
        token = adapter.placeholder_token
        trained, saved = TokenEmbeddingAdapter.from_model(model, token), self.read(path)
        equal = map(torch.equal, saved.vectors, trained.vectors)  # the file is of one encoder
        if saved.placeholder_token != token or not all(equal):
            raise AdapterVerificationError(
                f"Expected {path} to hold the {trained.num_vectors} trained vectors of "
                f"`{token}`, but it does not."
            )
        prompt = f"a picture of {token} on the moon"
        with isolated_random_state(), evaluating(model):
            expected = model.encode_prompts([prompt]).encoder_hidden_states
            fresh = frozen_copy(model)
            remove_token_embeddings(fresh)
            self.load(fresh, path)
            found = _encode_with_diffusers(fresh, prompt)
        check_same_output(path, "text encoder", expected, found, expected.dtype)

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how the word is used in another program."""
        if program == "diffusers":
            return Use((f"pipeline.load_textual_inversion({literal(shown(path))})",))
        token = self.read(path).placeholder_token
        word = token.strip("<>") or name  # these programs call a word by its file's name
        if program == "A1111":
            folder = "stable-diffusion-webui/embeddings"
            return Use((f"cp {quoted(path)} {folder}/{word}.safetensors",), words={token: word})
        line = f"cp {quoted(path)} ComfyUI/models/embeddings/{word}.safetensors"
        return Use((line,), words={token: f"embedding:{word}"})


def _encode_with_diffusers(model: StableDiffusion, prompt: str) -> Tensor:
    device = next(model.text_encoders.parameters()).device
    embeddings: Tensor = model.pipeline().encode_prompt(
        prompt, device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )[0]
    return embeddings
