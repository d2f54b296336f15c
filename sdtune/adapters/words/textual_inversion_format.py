"""Learned words as diffusers' `load_textual_inversion` reads them, and A1111 with it.

The file holds one tensor, {`<erica>`: (n, d)}. diffusers takes the word from its key; A1111 takes
it from the file's name instead, so there a copy named `erica.safetensors` is called by `erica`.
For two text encoders it holds two, `clip_l` and `clip_g`, and the word is in the header.

Read are also kohya's `emb_params`, which name no word, A1111's `.pt` and `.bin`, and bare vectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from sdtune.adapters.usage import Program, Use, literal, quoted, shown
from sdtune.adapters.verification import (
    AdapterVerificationError,
    SharedCopy,
    check_same_output,
    evaluating,
)
from sdtune.adapters.words.adapter import TokenEmbeddingAdapter
from sdtune.adapters.words.format import WordsFormat
from sdtune.adapters.words.layers import remove_token_embeddings
from sdtune.adapters.words.loading import ENCODERS, load_word, vectors_of
from sdtune.adapters.words.placeholder import Placeholder
from sdtune.files import tensor_file
from sdtune.files.tensor_file import TensorHeader
from sdtune.functional.randomness import isolated_random_state
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.models.substitution import substitute

__all__ = ["TextualInversionFormat"]

# what the untuned base reads in the word's place; each file names its own word's
_INITIALIZER_KEY = "sdtune.initializer_token"
_TRIGGER_KEY = "modelspec.trigger_phrase"

_A1111 = "string_to_param.*"
_NAMELESS = {"emb_params", "*", "tensor", _A1111, *ENCODERS}
"""Names of tensors that are no words."""


class TextualInversionFormat(WordsFormat):
    """`learned_embeds.safetensors`, a word to a file."""

    name = "textual inversion"
    file_name = "learned_embeds.safetensors"
    made_for = ("diffusers", "A1111", "ComfyUI")
    own_keys = frozenset({_INITIALIZER_KEY, _TRIGGER_KEY})

    def recognises(self, path: Path, header: TensorHeader) -> bool:
        """Tell whether it is one tensor of one or two dimensions, or one for each text encoder."""
        names = header.shapes.keys()
        if _A1111 in names or (names and names <= {*ENCODERS}):
            return True
        return [len(shape) in (1, 2) for shape in header.shapes.values()] == [True]

    def write(
        self, adapter: TokenEmbeddingAdapter, path: Path, metadata: Mapping[str, str]
    ) -> None:
        """Write a word, and in the header also the word and what it was started from.

        Raises:
            ValueError: If the word has vectors for several text encoders.
        """
        count = len(adapter.vectors)
        if count > len(ENCODERS):
            raise ValueError(
                f"Expected a word for one or two text encoders, but `{adapter.placeholder_token}` "
                f"has vectors for {count}, which the {self.name} format cannot hold."
            )
        header = {**metadata, _TRIGGER_KEY: adapter.placeholder_token}
        if adapter.initializer_token:
            header[_INITIALIZER_KEY] = adapter.initializer_token
        names = (adapter.placeholder_token,) if count == 1 else ENCODERS
        tensors = dict(zip(names, (each.contiguous() for each in adapter.vectors), strict=True))
        tensor_file.write(path, tensors, header)

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
        tensors = tensor_file.read_tensors(path)
        vectors = vectors_of(tensors)
        if vectors is None:
            raise ValueError(
                f"Expected {path} to hold one word, but it holds "
                f"{', '.join(f'`{name}`' for name in list(tensors)[:4]) or 'no tensor'}."
            )
        [*names] = (name for name in tensors if name not in _NAMELESS)
        is_named = len(tensors) == 1 and len(names) == 1
        said = header.metadata.get("name") or header.metadata.get(_TRIGGER_KEY)
        token = names[0] if is_named else (said or path.stem)
        return TokenEmbeddingAdapter(token, vectors, header.metadata.get(_INITIALIZER_KEY, ""))

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
        load_word(model, self.read(path), path)

    @torch.no_grad()
    def verify(
        self,
        adapter: TokenEmbeddingAdapter,
        path: Path,
        model: StableDiffusion,
        predicted: Tensor | None = None,
        shared: SharedCopy | None = None,
    ) -> float:
        """Load a file back into a fresh text encoder and compare with the model it came from.

        Compared are the vectors, and what a prompt with the word is encoded to, by diffusers'
        pipeline and by the model. The model, its modes and the random state are left as they were.

        Args:
            adapter: The word.
            path: The file.
            model: The bundle whose word was saved.
            predicted: Not used: words are compared by what prompts are encoded to.
            shared: Gives copies of the model, where several files are loaded.

        Returns:
            The relative difference of what the prompt is encoded to.

        Raises:
            AdapterVerificationError: If anything differs.
            FileNotFoundError: If there is no such file.
        """
        token = adapter.placeholder_token
        trained, saved = TokenEmbeddingAdapter.from_model(model, token), self.read(path)
        equal = map(torch.equal, saved.vectors, trained.vectors)
        if (
            len(saved.vectors) != len(trained.vectors)
            or saved.placeholder_token != token
            or not all(equal)
        ):
            raise AdapterVerificationError(
                f"Expected {path} to hold the {trained.num_vectors} trained vectors of "
                f"`{token}`, but it does not."
            )
        prompt = f"a picture of {token} on the moon"
        with isolated_random_state(), evaluating(model):
            expected = model.encode_prompts([prompt]).encoder_hidden_states
            fresh = (shared or SharedCopy(model)).without(remove_token_embeddings)
            self.load(fresh, path)
            found = _encode_with_diffusers(fresh, _as_diffusers_reads(fresh, prompt, token))
        return check_same_output(path, "text encoder", expected, found, expected.dtype)

    def use(self, program: Program, path: Path, name: str) -> Use:
        """Say how the word is used in another program."""
        if program == "diffusers":
            return self._use_in_diffusers(path)
        token = self.read(path).placeholder_token
        word = token.strip("<>") or name  # these programs call a word by its file's name
        if program == "A1111":
            folder = "stable-diffusion-webui/embeddings"
            return Use((f"cp {quoted(path)} {folder}/{word}.safetensors",), words={token: word})
        line = f"cp {quoted(path)} ComfyUI/models/embeddings/{word}.safetensors"
        return Use((line,), words={token: f"embedding:{word}"})

    def _use_in_diffusers(self, path: Path) -> Use:
        adapter = self.read(path)
        where, token = literal(shown(path)), literal(adapter.placeholder_token)
        word = Placeholder(adapter.placeholder_token, adapter.num_vectors)
        # see `_as_diffusers_reads`
        words = {} if word.token == word.token.lower() else {word.token: word.expanded}
        if len(adapter.vectors) == 1:
            is_named = adapter.placeholder_token in tensor_file.read_header(path).shapes
            named = "" if is_named else f", token={token}"
            return Use((f"pipeline.load_textual_inversion({where}{named})",), words=words)
        lines = [f"vectors = load_file({where})"]
        for name, end in zip(ENCODERS, ("", "_2"), strict=True):
            lines += [
                "pipeline.load_textual_inversion(",
                f"    {{{token}: vectors[{literal(name)}]}},",
                f"    tokenizer=pipeline.tokenizer{end},",
                f"    text_encoder=pipeline.text_encoder{end},",
                ")",
            ]
        # its configuration names another token, and its output would be read at the word
        lines.append(
            "pipeline.text_encoder_2.text_model.eos_token_id = pipeline.tokenizer_2.eos_token_id"
        )
        imports = ("from safetensors.torch import load_file",)
        return Use(tuple(lines), imports=imports, words=words)


def _as_diffusers_reads(model: StableDiffusion, prompt: str, token: str) -> str:
    """Write a word of several vectors out where diffusers does not.

    It looks for the word among the tokens of the prompt, which are in lower case; with a capital
    in it, all of `EasyNegative EasyNegative_1` has to be written.
    """
    is_found = token in model.tokenizers[0].tokenize(prompt)
    return prompt if is_found else substitute(prompt, model.substitutions)


def _encode_with_diffusers(model: StableDiffusion, prompt: str) -> Tensor:
    device = next(model.text_encoders.parameters()).device
    embeddings: Tensor = model.pipeline().encode_prompt(
        prompt=prompt, device=device, num_images_per_prompt=1, do_classifier_free_guidance=False
    )[0]
    return embeddings
