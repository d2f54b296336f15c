"""Several subjects at once, each as a new word, in the keys and values that read the prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import zip_longest
from typing import Any

from sdtune._checks import check_all
from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.keys_values import (
    TARGET_MODULES,
    CrossAttentionAdapter,
    add_tuned_projections,
    tuned_projections,
    without_tuned_projections,
)
from sdtune.adapters.lora import LoRAAdapter, LoRASettings, add_lora
from sdtune.adapters.words import EmbeddingNorm, Placeholder, TokenEmbeddingAdapter
from sdtune.techniques.optimization import LRScheduleName, OptimizerName, lora_groups
from sdtune.techniques.placeholder import PlaceholderModule, check_placeholder
from sdtune.techniques.prior_preservation import PriorPreservation, PriorPreservationModule

__all__ = ["MultiConceptModule"]


class MultiConceptModule(PriorPreservationModule, PlaceholderModule):
    """Learns a word for each of several subjects, and how the UNet reads them (Custom Diffusion).

    Only the keys and values that the UNet computes from the prompt learn, beside the words
    (Kumari et al. 2023, https://arxiv.org/abs/2212.04488): in full, 19 million numbers for Stable
    Diffusion 1, or as a LoRA with `rank`. All subjects are learned together, beside pictures of
    their classes unless `prior_loss_weight` is 0. Data: `ConceptsDataModule`. `sdtune merge` puts
    subjects that were learned apart into one adapter.

    Args:
        placeholder_tokens: A word for each subject, see `TextualInversionModule`.
        initializer_tokens: The words that each starts from, in the same order.
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
        optimizer: Name of the optimizer, see `sdtune.techniques.optimization.OptimizerName`.
        weight_decay: Decoupled weight decay.
        lr_schedule: `constant`, `linear` or `cosine`, after the warm-up.
        warmup_steps: Optimizer steps on which the rates rise linearly.
        min_snr_gamma: Gamma of Min-SNR loss weights (Hang et al. 2023; 5 is usual); None is off.
        noise_offset: Share of noise that is constant over a picture, 0 or more.
        clip_skip: Text encoder layer, counted from the end; 1 is the last.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        seed: Seed of the LoRA's first values, of noise and timesteps.

    Raises:
        TypeError: If `rank` or `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        placeholder_tokens: list[str],
        initializer_tokens: list[str],
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
        optimizer: OptimizerName = "adamw",
        weight_decay: float = 1e-2,
        lr_schedule: LRScheduleName = "constant",
        warmup_steps: int = 0,
        min_snr_gamma: float | None = None,
        noise_offset: float = 0.0,
        clip_skip: int = 1,
        gradient_checkpointing: bool = False,
        seed: int = 42,
    ) -> None:
        pairs = zip_longest(placeholder_tokens, initializer_tokens, fillvalue="")
        words = [Placeholder(token, num_vectors, initializer) for token, initializer in pairs]
        size = 1 if rank is None else rank
        lora = LoRASettings(size, alpha, 0.0, list(TARGET_MODULES), use_dora=False)
        prior = PriorPreservation(prior_loss_weight, class_inference_steps, class_guidance_scale)
        super().__init__(
            base=base,
            checks=[
                partial(_check_words, base, words, embedding_norm),
                lora.check,
                prior.check,
            ],
            learning_rates={
                "embedding_learning_rate": embedding_learning_rate,
                "learning_rate": learning_rate,
            },
            optimizer=optimizer,
            weight_decay=weight_decay,
            lr_schedule=lr_schedule,
            warmup_steps=warmup_steps,
            min_snr_gamma=min_snr_gamma,
            noise_offset=noise_offset,
            clip_skip=clip_skip,
            gradient_checkpointing=gradient_checkpointing,
            draws_dropout=False,
            seed=seed,
        )
        self.save_hyperparameters()
        self.placeholders = words
        self.embedding_norm = embedding_norm
        self.embedding_learning_rate = embedding_learning_rate
        self.lora = None if rank is None else lora
        self.prior = prior
        self.learning_rate = learning_rate

    def add_adapter(self) -> None:
        """Add the words; and let keys and values learn, or a fresh LoRA on them."""
        self.add_placeholders()
        if self.lora is None:
            add_tuned_projections(self.model)
            return
        add_lora(self.model, **asdict(self.lora), seed=self.seed)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return keys and values, or the LoRA on them, and the words, with their learning rates."""
        words = {
            "name": "embedding",
            "params": self.embedding_rows,
            "lr": self.embedding_learning_rate,
        }
        if self.lora is not None:
            return [*lora_groups(self.model, self.learning_rate, None), words]
        weights = [layer.weight for layer in tuned_projections(self.model).values()]
        return [{"name": "unet", "params": weights, "lr": self.learning_rate}, words]

    def adapter(self) -> AdapterSet:
        """Return a copy of the words and of keys and values, on the CPU."""
        words = [
            TokenEmbeddingAdapter.from_model(self.model, each.token) for each in self.placeholders
        ]
        make = CrossAttentionAdapter if self.lora is None else LoRAAdapter
        return AdapterSet(*words, make.from_model(self.model))

    @contextmanager
    def untuned(self) -> Iterator[None]:
        """Switch off what has been learned, for a while; the initializers' words are read."""
        with super().untuned(), without_tuned_projections(self.model):
            yield


def _check_words(base: str, words: Sequence[Placeholder], embedding_norm: EmbeddingNorm) -> None:
    tokens = [each.token for each in words if each.token]
    initializers = [each.initializer_token for each in words if each.initializer_token]
    if not words or not len(tokens) == len(initializers) == len(words):
        raise ValueError(
            "Expected `placeholder_tokens` and `initializer_tokens` to hold a word each for every "
            f"subject, but got {len(tokens)} and {len(initializers)}."
        )
    check_all(
        lambda: _check_distinct(tokens),
        *(partial(check_placeholder, base, each, embedding_norm) for each in words),
    )


def _check_distinct(placeholder_tokens: Sequence[str]) -> None:
    twice = [token for token, count in Counter(placeholder_tokens).items() if count > 1]
    if twice:
        raise ValueError(
            "Expected `placeholder_tokens` to be a word of its own for each subject, but got "
            f"{', '.join(f'`{token}`' for token in twice)} more than once."
        )
