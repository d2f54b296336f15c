"""Several subjects at once, each as a new word, in the keys and values that read the prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import zip_longest
from typing import Any

from sdtune._checks import check_all
from sdtune._prompt_fields import Subject
from sdtune.adapters.keys_values import TARGET_MODULES
from sdtune.adapters.lora import LoRASettings
from sdtune.adapters.words import EmbeddingNorm, Placeholder
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.learned_keys_values import LearnedKeysAndValues
from sdtune.techniques.learned_lora import LearnedLoRA
from sdtune.techniques.learned_words import LearnedWords
from sdtune.techniques.method import Method
from sdtune.techniques.prior_preservation import PriorPreservation

__all__ = ["MultiConceptModule"]


class MultiConceptModule(DiffusionFineTuningModule):
    """Learns a word for each of several subjects, and how the UNet reads them (Custom Diffusion).

    Only the keys and values that the UNet computes from the prompt learn, beside the words
    (Kumari et al. 2023, https://arxiv.org/abs/2212.04488): in full, 19 million numbers for Stable
    Diffusion 1, or as a LoRA with `rank`. All subjects are learned together, beside pictures of
    their classes unless `prior_loss_weight` is 0. Data: `ConceptsDataModule`. `sdtune merge` puts
    subjects that were learned apart into one adapter.

    Args:
        placeholder_tokens: A word for each subject, see `TextualInversionModule`; None makes them
            of the `class_noun` of each of the data's concepts, or takes those in their
            `subject_name`.
        initializer_tokens: The words that each starts from, in the same order; None are the nouns.
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        num_vectors: Tokens that each word is, from 1 to 8.
        embedding_norm: `free`, `table` or `initializer`, see `TextualInversionModule`.
        embedding_learning_rate: Rate of the words' vectors.
        rank: Inner dimension of a LoRA on keys and values; None trains them in full.
        alpha: The LoRA's update is scaled by `alpha / rank`.
        prior_loss_weight: Factor of the class pictures' loss, 0 or more; 0 needs no class pictures.
        class_inference_steps: Steps of the noise scheduler for class pictures.
        class_guidance_scale: Strength of classifier-free guidance for class pictures.
        learning_rate: Rate of keys and values, or of the LoRA on them.
        **kwargs: See `DiffusionFineTuningModule`.

    Raises:
        TypeError: If `rank` or `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        placeholder_tokens: list[str] | None = None,
        initializer_tokens: list[str] | None = None,
        base: str = "nano",
        num_vectors: int = 1,
        embedding_norm: EmbeddingNorm = "free",
        embedding_learning_rate: float = 8e-5,
        rank: int | None = None,
        alpha: float = 16.0,
        prior_loss_weight: float = 1.0,
        class_inference_steps: int = 25,
        class_guidance_scale: float = 7.5,
        learning_rate: float = 8e-5,
        **kwargs: Any,
    ) -> None:
        words = _WordPerSubject(placeholder_tokens, initializer_tokens, num_vectors, embedding_norm)
        size = 1 if rank is None else rank
        settings = LoRASettings(size, alpha, 0.0, list(TARGET_MODULES), use_dora=False)
        weights = LearnedKeysAndValues() if rank is None else LearnedLoRA(settings)
        method = Method(
            learns=[weights, words],
            learning_rates={
                "learning_rate": learning_rate,
                "embedding_learning_rate": embedding_learning_rate,
            },
            prior=PriorPreservation(prior_loss_weight, class_inference_steps, class_guidance_scale),
            checks=[settings.check] if rank is None else [],
        )
        super().__init__(method, base=base, **kwargs)
        self.words = words


class _WordPerSubject(LearnedWords):
    """Words that are told apart."""

    def __init__(
        self,
        tokens: Sequence[str] | None,
        initializers: Sequence[str] | None,
        num_vectors: int,
        embedding_norm: EmbeddingNorm,
    ) -> None:
        pairs = zip_longest(tokens or [], initializers or [], fillvalue="")
        super().__init__(
            [Placeholder(each[0], num_vectors, each[1]) for each in pairs], embedding_norm
        )
        self._named = [("placeholder_tokens", tokens), ("initializer_tokens", initializers)]
        self._num_vectors = num_vectors

    def _words_for(self, subjects: Sequence[Subject | None]) -> Sequence[Placeholder]:
        return self._given or [Placeholder("", self._num_vectors) for _ in subjects]

    def check(self, base: str) -> None:
        """Check that each subject has a word of its own, and each word."""
        counts = {name: sum(map(bool, each)) for name, each in self._named if each is not None}
        if not all(count and count == len(self._given) for count in counts.values()):
            said = " and ".join(str(counts.get(name, "none")) for name, _ in self._named)
            raise ValueError(
                "Expected `placeholder_tokens` and `initializer_tokens` to hold a word each for "
                f"every subject, but got {said}."
            )
        tokens = [each.token for each in self._given if each.token]
        unnamed = Placeholder("", self._num_vectors)
        check_all(
            lambda: _check_distinct(tokens),
            partial(self._check_word, base, unnamed),
            *([partial(super().check, base)] if self._given else []),
        )


def _check_distinct(placeholder_tokens: Sequence[str]) -> None:
    twice = [token for token, count in Counter(placeholder_tokens).items() if count > 1]
    if twice:
        raise ValueError(
            "Expected `placeholder_tokens` to be a word of its own for each subject, but got "
            f"{', '.join(f'`{token}`' for token in twice)} more than once."
        )
