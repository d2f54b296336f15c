"""A learned word from a file, whatever its layout, put into a model's text encoders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.placeholder import Placeholder
from sdtune.files.library_messages import dropped_messages
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from transformers import CLIPTextModel

__all__ = ["BUNDLE", "ENCODERS", "bundled_words", "load_word", "vectors_of"]

ENCODERS = ("clip_l", "clip_g")
"""What Stable Diffusion XL's two text encoders are called in files of words."""

BUNDLE = "bundle_emb."
"""How the names of words begin that are in the file of a LoRA."""

# the reader overwrites what it is about
_MISLEADING = "The new embeddings will be initialized"


def load_word(model: StableDiffusion, adapter: TokenEmbeddingAdapter, path: Path) -> None:
    """Load a word into a model, in place and frozen, with diffusers' own reader.

    The reader puts the vectors at the end of the tables, rounded to their precision.

    Args:
        model: A bundle without that word.
        adapter: The word.
        path: Where it comes from, for messages.

    Raises:
        ValueError: If the word is in the vocabulary, or it is for other text encoders.
    """
    token = adapter.placeholder_token
    tables = [
        cast(nn.Embedding, cast("CLIPTextModel", each).get_input_embeddings())
        for each in model.text_encoders
    ]
    widths = [table.weight.shape[1] for table in tables]
    found = [vectors.shape[1] for vectors in adapter.vectors]
    if found != widths:
        raise ValueError(
            f"Expected {path} to be for text encoders of width {', '.join(map(str, widths))}, "
            f"but it holds vectors of {', '.join(map(str, found))}: it was trained on another "
            "kind of base."
        )
    if any(token in tokenizer.get_vocab() for tokenizer in model.tokenizers):
        raise ValueError(
            f"Expected the word of {path} to be a new one, but `{token}` is in the vocabulary "
            "already: if the file names no word, give the file another name."
        )
    # the reader draws initial values and then overwrites them
    loggers = ["transformers.modeling_utils"]
    with isolated_random_state(), dropped_messages(_MISLEADING, loggers=loggers):
        pipeline = model.pipeline()
        for number, vectors in enumerate(adapter.vectors):
            pipeline.load_textual_inversion(
                {token: vectors},
                tokenizer=model.tokenizers[number],
                text_encoder=model.text_encoders[number],
            )
    for table in tables:
        table.requires_grad_(False)
    model.substitutions[token] = Placeholder(token, adapter.num_vectors).expanded


def vectors_of(tensors: Mapping[str, Tensor]) -> list[Tensor] | None:
    """Find the vectors of one word among tensors.

    Args:
        tensors: All of a file, or of one word in a bundle.

    Returns:
        (n, d) float32 for each text encoder; None if this is not one word.
    """
    named = {name: each for name, each in tensors.items() if not name.startswith("string_to_token")}
    if named.keys() <= {*ENCODERS}:
        found = [named[name] for name in ENCODERS if name in named]
    else:
        found = list(named.values())
        if len(found) != 1:
            return None
    if not found or any(each.ndim not in (1, 2) or not each.numel() for each in found):
        return None
    return [torch.atleast_2d(each).float().contiguous() for each in found]


def bundled_words(tensors: Mapping[str, Tensor], path: Path) -> list[TokenEmbeddingAdapter]:
    """Find the words that go with a LoRA in one file, `bundle_emb.<word>.…`.

    Args:
        tensors: All of the file.
        path: The file, for messages.

    Returns:
        The words, in the order of their names.

    Raises:
        ValueError: If one is not to be understood.
    """
    words: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(BUNDLE):
            word, _, rest = key.removeprefix(BUNDLE).partition(".")
            words.setdefault(word, {})[rest] = tensor
    adapters = []
    for word, named in sorted(words.items()):
        vectors = vectors_of(named)
        if vectors is None:
            raise ValueError(
                f"Expected the word `{word}` in {path} to be vectors of one or two text encoders, "
                f"but it holds {', '.join(f'`{name}`' for name in named)}."
            )
        adapters.append(TokenEmbeddingAdapter(word, vectors))
    return adapters
