"""New words as what learns: their captions, rows and how far these go (Gal et al. 2022)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn

from sdtune._checks import ArgumentsError, check_all
from sdtune._prompt_fields import Subject
from sdtune.adapters import registry
from sdtune.adapters.adapter import Adapter
from sdtune.adapters.words import (
    TokenEmbeddingAdapter,
    add_token_embedding,
    find_token_embeddings,
    target_norms,
    without_token_embeddings,
)
from sdtune.adapters.words.placeholder import (
    EmbeddingNorm,
    Placeholder,
    check_token_embedding_arguments,
    initial_ids,
)
from sdtune.models import StableDiffusion, check_base, load_tokenizers
from sdtune.techniques.learned import Learned, LearnedGroup

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

__all__ = ["LearnedWords", "word_of"]

_NAMELESS = Subject("").word


@runtime_checkable
class _HasCaptions(Protocol):
    def captions(self) -> list[str]:
        """List the distinct captions."""
        ...


class LearnedWords(Learned):
    """Rows beside the text encoder's frozen table, for words that it does not know.

    The text encoder runs, at every step, for the captions that hold a word and for no others.

    A word that is not named, or has nothing to start from, takes both from the noun of its subject,
    see `name_subjects`.

    Args:
        words: The words, what they start from, and how many tokens they are.
        embedding_norm: Which norm their rows keep, see `target_norms`.
        rate: Name of the technique's argument that holds their learning rate.

    Attributes:
        words: The words, as far as they are known.
        is_learning: Whether the words are still being learned; a technique may end it.
    """

    def __init__(
        self,
        words: Sequence[Placeholder],
        embedding_norm: EmbeddingNorm,
        rate: str = "embedding_learning_rate",
    ) -> None:
        self.words = list(words)
        self._given = list(words)
        self._is_added = False
        self.embedding_norm = embedding_norm
        self.rate = rate
        self.is_learning = True
        self._norms: list[Tensor | None] = []
        self._nouns: list[str] = []
        self._steps = 0

    def rows(self, model: StableDiffusion) -> list[nn.Parameter]:
        """Find what learns.

        Args:
            model: A bundle that the words were added to.

        Returns:
            (num_vectors, d) float32 for each text encoder and word, as they are now.

        Raises:
            RuntimeError: If they were not added.
        """
        embeddings = find_token_embeddings(model)
        if not embeddings:
            raise RuntimeError("Expected `add_to` to be called before, but it was not.")
        return [rows for embedding in embeddings for rows in embedding.rows]

    def add_to(self, model: StableDiffusion, *, seed: int, clip_skip: int) -> None:
        """Add the words to the text encoders and their tokenizers.

        Raises:
            ValueError: If one of them has no name yet.
        """
        if problems := self._missing():
            raise ArgumentsError(problems)
        self._is_added = True
        for each in self.words:
            add_token_embedding(model, each.token, each.initializer_token, each.num_vectors)
        self._norms = [
            target_norms(rows, embedding.frozen_table.weight, self.embedding_norm)
            for embedding in find_token_embeddings(model)
            for rows in embedding.rows
        ]
        self.after_step(model)

    def name_subjects(self, subjects: Sequence[Subject | None], base: str) -> None:
        """Name the words that have no name, and let them start from the nouns."""
        if self._is_added:
            return  # the model has them by their names
        self._nouns = ["" if each is None else each.noun for each in subjects]
        self.words = [
            each if subject is None else _completed(each, subject, base)
            for each, subject in zip_longest(self._words_for(subjects), subjects)
            if each is not None
        ]

    def take_words(self, words: Sequence[Placeholder]) -> None:
        """Take words as another process has named them, unless they have names here."""
        if not self._is_added and (not self.words or self._missing()):
            self.words = list(words)

    @torch.no_grad()
    def start_from(
        self, model: StableDiffusion, path: Path, stated: Mapping[str, object]
    ) -> set[type[Adapter]]:
        """Take the vectors of the words that are learned here."""
        found = registry.read_words([path])
        tokens = [each.token for each in self.words]
        for adapter in found:
            if adapter.placeholder_token not in tokens:
                raise ValueError(
                    f"Expected `placeholder_token` to be `{adapter.placeholder_token}`, as in "
                    f"{path}, but got {', '.join(f'`{token}`' for token in tokens)}."
                )
            number = tokens.index(adapter.placeholder_token)
            for embedding, vectors in zip(
                find_token_embeddings(model), adapter.vectors, strict=True
            ):
                rows = embedding.rows[number]
                if rows.shape != vectors.shape:
                    raise ValueError(
                        f"Expected `num_vectors` to be {len(vectors)} and the text encoder of "
                        f"width {vectors.shape[1]}, as in {path}, but got {len(rows)} and "
                        f"{rows.shape[1]}."
                    )
                rows.copy_(vectors)
        self.after_step(model)
        return {TokenEmbeddingAdapter} if found else set()

    def groups(self, model: StableDiffusion) -> list[LearnedGroup]:
        """Return the rows."""
        return [LearnedGroup("embedding", self.rows(model), self.rate)]

    def switched_off(self, model: StableDiffusion) -> AbstractContextManager[None]:
        """Read the words that they were started from in their place."""
        return without_token_embeddings(model)

    def adapters(self, model: StableDiffusion) -> list[Adapter]:
        """Return a copy of each word, on the CPU."""
        return [TokenEmbeddingAdapter.from_model(model, each.token) for each in self.words]

    @property
    def encodes_prompts_every_step(self) -> bool:
        """Always: gradients reach the words through the text encoder, frozen as it is."""
        return True

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            Whether the caption holds a word, as long as those are learned.
        """
        return self.is_learning and self._stands_in(caption)

    def version(self, caption: str, model: StableDiffusion) -> Hashable:
        """Tell how often the rows were written, and where they are, if a word is in the caption.

        torch counts the writes, which no writer can forget, but for those to `.data`: some
        optimizers write so, and their steps are counted here.
        """
        if not self._stands_in(caption):
            return None
        # what was made in inference mode has no count, and nobody writes to it
        written = [
            (rows.data_ptr(), None if rows.is_inference() else rows._version)
            for rows in self.rows(model)
        ]
        return (self._steps, *written)

    def check(self, base: str) -> None:
        """Check each word by the vocabulary of the base, of which the tokenizer alone is loaded."""
        check_all(*(partial(self._check_word, base, each) for each in self._given))

    def problems_with(self, data: object) -> list[str]:
        """Tell which word is not known, or stands in no caption: nothing would be learned."""
        if problems := self._missing():
            return problems
        try:
            captions = data.captions() if isinstance(data, _HasCaptions) else []
        except ValueError:  # the data's own problems, which it lists itself
            return []
        text = "\n".join(captions).lower()
        missing = [each.token for each in self.words if each.token not in text]
        return [
            f"Expected captions that hold `{token}`, but none of {len(captions)} does, such as "
            f"{captions[0]!r}: put the word into `data.instance_prompt`, "
            "`data.caption_replacements` or `data.trigger`, or give `model.placeholder_token` the "
            "word of the captions."
            for token in missing
            if captions
        ]

    def connected(self, model: StableDiffusion, hidden_states: Tensor) -> Tensor:
        """Add nothing of the rows, so that they have a gradient where no caption holds them."""
        # of several processes each waits for the gradients of all parameters
        is_waited_for = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not self.is_learning and not is_waited_for:
            return hidden_states
        nothing = 0.0 * torch.stack([rows.sum() for rows in self.rows(model)]).sum()
        return hidden_states + nothing.to(hidden_states)

    def after_step(self, model: StableDiffusion) -> None:
        """Bring the rows back to the norms that they keep, as long as they learn."""
        if self.is_learning:
            self._steps += 1
            self._restore_norms(model)

    def corrected_by_average(self, model: StableDiffusion) -> Sequence[nn.Parameter]:
        """List the rows that keep norms."""
        pairs = zip(self.rows(model), self._norms, strict=True)
        return [rows for rows, wanted in pairs if wanted is not None]

    def after_average(self, model: StableDiffusion) -> None:
        """Bring the rows to the norms that they keep."""
        self._restore_norms(model)

    @torch.no_grad()
    def _restore_norms(self, model: StableDiffusion) -> None:
        for rows, wanted in zip(self.rows(model), self._norms, strict=True):
            if wanted is not None:
                norms = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
                rows.mul_(wanted.to(rows.device) / norms)

    def _stands_in(self, caption: str) -> bool:
        text = caption.lower()
        return any(each.token in text for each in self.words)

    def _words_for(self, subjects: Sequence[Subject | None]) -> Sequence[Placeholder]:
        """Give the words for some subjects, as the arguments have them."""
        return self._given

    def _missing(self) -> list[str]:
        """Say which words are not known."""
        known = [each for each in self.words if each.token and each.initializer_token]
        if self.words and len(known) == len(self.words):
            return []
        return [
            "Expected `data.class_noun` to say what the subject is, or `model.placeholder_token` "
            "and `model.initializer_token` to be given, for a word is to be learned, but neither "
            "is there."
        ]

    def problems_with_words(self, base: str) -> list[str]:
        """List what is wrong with words that were made of nouns; loads tokenizers alone."""
        if self._missing():
            return []
        problems = []
        for word, key, noun in zip(self.words, self._keys(), self._nouns, strict=False):
            if word in self._given:
                continue
            if word.token == _NAMELESS:
                problems.append(
                    f"Expected `{key}` to hold letters or digits, of which a word to learn is "
                    f"made, but got {noun!r}: give `model.placeholder_token`, such as `<robot>`."
                )
                continue
            try:
                self._check_word(base, word)
            except (TypeError, ValueError) as error:
                told = getattr(error, "problems", [str(error)])
                problems += [f"{each} It was made of `{key}` {noun!r}." for each in told]
        return problems

    def _keys(self) -> list[str]:
        """Say which argument of the data each word is made of."""
        if len(self.words) == 1:
            return ["data.class_noun"]
        return [f"data.concepts[{number}].class_noun" for number in range(len(self.words))]

    def _check_word(self, base: str, word: Placeholder) -> None:
        check_token_embedding_arguments(
            word.token or "<word>",
            word.initializer_token or "word",
            word.num_vectors,
            self.embedding_norm,
        )
        if not word.token or not word.initializer_token:
            return  # `name_subjects` comes first
        for tokenizer in _tokenizers(base):
            initial_ids(tokenizer, word)


def word_of(token: str | None, num_vectors: int, initializer_token: str | None) -> Placeholder:
    """Name a word by arguments that may be left open.

    Args:
        token: The word; None makes it of the subject's noun.
        num_vectors: How many tokens it is.
        initializer_token: The words that it starts from; None for the noun.

    Returns:
        The word, with empty texts for what is open; an argument that is empty itself is refused.
    """
    token, initializer_token = (" " if each == "" else each for each in (token, initializer_token))
    return Placeholder(token or "", num_vectors, initializer_token or "")


def _completed(word: Placeholder, subject: Subject, base: str) -> Placeholder:
    started = word.initializer_token or _initializer(subject.replaced, word.num_vectors, base)
    return replace(word, token=word.token or subject.word, initializer_token=started)


def _initializer(noun: str, num_vectors: int, base: str) -> str:
    """Take the whole noun to start from, or its last word if that is too many tokens."""
    for words in (noun, noun.split()[-1]):
        counts = [
            len(tokenizer(words, add_special_tokens=False).input_ids)
            for tokenizer in _tokenizers(base)
        ]
        if all(1 <= count <= num_vectors for count in counts):
            return words
    return noun


def _tokenizers(base: str) -> Sequence[CLIPTokenizer]:
    """Load the base's tokenizers; none if there is no such base, which the technique says."""
    try:
        check_base(base)
    except ValueError:
        return []
    return load_tokenizers(base)
