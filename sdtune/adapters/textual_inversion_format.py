"""Learned words as diffusers' `load_textual_inversion` reads them, and A1111 with it.

The file holds one tensor, {`<erica>`: (n, d)}. diffusers takes the word from its key; A1111 takes
it from the file's name instead, so there a copy named `erica.safetensors` is called by `erica`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from itertools import chain
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from sdtune.adapters.placeholder import Placeholder
from sdtune.adapters.quiet import dropped_messages
from sdtune.adapters.random_state import isolated_random_state
from sdtune.adapters.token_embedding import TokenEmbeddingAdapter, remove_token_embeddings
from sdtune.adapters.verification import AdapterVerificationError, evaluating
from sdtune.files import tensor_file
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["FILE_NAME", "holds_embedding", "load", "read", "save", "verify"]

FILE_NAME = "learned_embeds.safetensors"

# what the untuned base reads in the word's place; each file names its own word's
_INITIALIZER_KEY = "sdtune.initializer_token"

# the reader overwrites what it is about
_MISLEADING = "The new embeddings will be initialized"


def save(
    adapter: TokenEmbeddingAdapter,
    folder: str | Path,
    metadata: Mapping[str, str] | None = None,
    file_name: str = FILE_NAME,
) -> Path:
    """Write a word to a file, whole or not at all.

    Args:
        adapter: The word.
        folder: Where the file goes; made if it is missing.
        metadata: Strings for the header, beside `modelspec.trigger_phrase`, which is the word, and
            `sdtune.initializer_token`, which is what it was started from.
        file_name: Name of the file; a file holds one word.

    Returns:
        The path of the file.

    Raises:
        FileExistsError: If a file of that name is there which sdtune did not write.
        TypeError: If a value in `metadata` is no string.
        ValueError: If `metadata` uses a key that the file needs.
    """
    path = Path(folder) / file_name
    header = {**(metadata or {}), "modelspec.trigger_phrase": adapter.placeholder_token}
    if adapter.initializer_token:
        header[_INITIALIZER_KEY] = adapter.initializer_token
    tensor_file.write(path, {adapter.placeholder_token: adapter.vectors.contiguous()}, header)
    return path


def read(path: str | Path) -> TokenEmbeddingAdapter:
    """Read a word without a model.

    Args:
        path: The file.

    Returns:
        The word, its vectors and, if its header tells, what it was started from.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else than one word.
    """
    path = Path(path)
    if path.is_file() and not holds_embedding(path):
        raise ValueError(f"Expected {path} to hold one tensor of a word, but it does not.")
    [(token, vectors)] = load_file(path).items()
    initializer = tensor_file.read_metadata(path).get(_INITIALIZER_KEY, "")
    return TokenEmbeddingAdapter(token, torch.atleast_2d(vectors).float(), initializer)


def holds_embedding(path: str | Path) -> bool:
    """Tell whether a file is a word, without reading its tensors.

    Args:
        path: An existing file.

    Returns:
        Whether it is a safetensors file of one tensor of one or two dimensions.
    """
    try:
        with safe_open(path, framework="pt") as file:
            shapes = [file.get_slice(key).get_shape() for key in file.keys()]  # noqa: SIM118
    except SafetensorError:
        return False
    return len(shapes) == 1 and len(shapes[0]) in (1, 2)


def load(model: StableDiffusion, path: str | Path) -> None:
    """Load a word into a model, in place and frozen, with diffusers' own reader.

    The reader puts the vectors at the end of the table, rounded to its precision.

    Args:
        model: A bundle without that word.
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds anything else, the word is in the vocabulary, or the vectors are of
            another width than the text encoder's.
    """
    path = Path(path)
    adapter = read(path)
    table = model.text_encoders[0].get_input_embeddings()  # type: ignore[operator]
    width = table.weight.shape[1]
    if adapter.vectors.shape[1] != width:
        raise ValueError(
            f"Expected {path} to be for a text encoder of width {width}, but it holds "
            f"vectors of {adapter.vectors.shape[1]}: it was trained on another kind of base."
        )
    # the reader draws initial values and then overwrites them
    with isolated_random_state(), dropped_messages(_MISLEADING, "transformers.modeling_utils"):
        model.pipeline().load_textual_inversion(path.parent, weight_name=path.name)
    table.requires_grad_(False)
    placeholder = Placeholder(adapter.placeholder_token, len(adapter.vectors))
    model.substitutions[placeholder.token] = placeholder.expanded


@torch.no_grad()
def verify(
    path: str | Path, model: StableDiffusion, placeholder_token: str, atol: float = 1e-3
) -> None:
    """Load a file back into a fresh text encoder and compare with the model it came from.

    Compared are the vectors, and what a prompt with the word is encoded to, by diffusers'
    pipeline and by the model. The frozen weights are shared, apart from one copy of the table. The
    model, its modes and the random state are left as they were.

    Args:
        path: The file.
        model: The bundle whose word was saved.
        placeholder_token: The word.
        atol: Largest difference allowed between hidden states, which are of order 1.

    Raises:
        AdapterVerificationError: If anything differs.
        FileNotFoundError: If there is no such file.
    """
    trained = TokenEmbeddingAdapter.from_model(model, placeholder_token)
    saved = read(path)
    if saved.placeholder_token != placeholder_token or not saved.vectors.equal(trained.vectors):
        raise AdapterVerificationError(
            f"Expected {path} to hold the {len(trained.vectors)} trained vectors of "
            f"`{placeholder_token}`, but it does not."
        )
    prompt = f"a picture of {placeholder_token} on the moon"
    with isolated_random_state(), evaluating(model):
        expected = model.encode_prompts([prompt]).encoder_hidden_states
        fresh = _copy_without_words(model)
        load(fresh, path)
        error = (expected - _encode_with_diffusers(fresh, prompt)).abs().max().item()
    if not error <= atol:  # also catches nan
        raise AdapterVerificationError(
            f"Expected {path} to be encoded as by the trained model, but the text encoder's output "
            f"differs by {error:.2e}, more than {atol:.2e}."
        )


def _encode_with_diffusers(model: StableDiffusion, prompt: str) -> Tensor:
    device = next(model.text_encoders.parameters()).device
    embeddings, _ = model.pipeline().encode_prompt(
        prompt, device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )
    return embeddings


def _copy_without_words(model: StableDiffusion) -> StableDiffusion:
    shared = chain(model.parameters(), model.buffers())
    fresh = copy.deepcopy(model, memo={id(item): item for item in shared})
    remove_token_embeddings(fresh)
    table = fresh.text_encoders[0].get_input_embeddings()  # type: ignore[operator]
    # diffusers enlarges the table by giving this very parameter other data
    table.weight = nn.Parameter(table.weight.data, requires_grad=False)
    return fresh
