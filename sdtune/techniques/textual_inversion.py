"""A subject or a style as a new word."""

from __future__ import annotations

from functools import partial
from typing import Any

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.words import EmbeddingNorm, Placeholder, TokenEmbeddingAdapter
from sdtune.techniques.optimization import LRScheduleName, OptimizerName
from sdtune.techniques.placeholder import PlaceholderModule, check_placeholder

__all__ = ["TextualInversionModule"]


class TextualInversionModule(PlaceholderModule):
    """Learns a word for what a few pictures show, and changes nothing else (Gal et al. 2022).

    The word's rows beside the text encoder's table are the only parameters
    (https://arxiv.org/abs/2208.01618): all other rows are frozen, without gradient, optimizer
    state or decay. Captions must hold the word, as `SubjectDataModule` writes them with
    `instance_prompt` and `prompt_templates`.

    Args:
        placeholder_token: The word, in angle brackets and lower case, such as `<erica>`. Prompts
            say it alone, however many vectors it has.
        initializer_token: Words of at most `num_vectors` tokens that the base knows, such as
            `cat`: the first values, repeated in turn where they are fewer; and what the base
            reads in place of the placeholder when it is sampled for comparison.
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        num_vectors: Tokens that the word is, from 1 to 8; more hold more detail, and are harder
            to put into new scenes.
        embedding_norm: `free`; or the length that each vector is brought back to after every
            step, so that it does not drown the other words: `table`, the mean of the vocabulary's,
            or `initializer`, that of its first values.
        learning_rate: Rate of the vectors.
        optimizer: Name of the optimizer, see `sdtune.techniques.optimization.OptimizerName`.
        weight_decay: Decoupled weight decay of the vectors.
        lr_schedule: `constant`, `linear` or `cosine`, after the warm-up.
        warmup_steps: Optimizer steps on which the rate rises linearly.
        min_snr_gamma: Gamma of Min-SNR loss weights (Hang et al. 2023; 5 is usual); None is off.
        noise_offset: Share of noise that is constant over a picture, 0 or more.
        clip_skip: Text encoder layer, counted from the end; 1 is the last.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        seed: Seed of noise and timesteps.

    Raises:
        TypeError: If `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        placeholder_token: str,
        initializer_token: str,
        base: str = "nano",
        num_vectors: int = 1,
        embedding_norm: EmbeddingNorm = "free",
        learning_rate: float = 1e-4,
        optimizer: OptimizerName = "adamw",
        weight_decay: float = 0.0,
        lr_schedule: LRScheduleName = "constant",
        warmup_steps: int = 0,
        min_snr_gamma: float | None = None,
        noise_offset: float = 0.0,
        clip_skip: int = 1,
        gradient_checkpointing: bool = False,
        seed: int = 42,
    ) -> None:
        word = Placeholder(placeholder_token, num_vectors, initializer_token)
        super().__init__(
            base=base,
            checks=[partial(check_placeholder, base, word, embedding_norm)],
            learning_rates={"learning_rate": learning_rate},
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
        self.placeholders = [word]
        self.embedding_norm = embedding_norm
        self.learning_rate = learning_rate

    def add_adapter(self) -> None:
        """Add the word."""
        self.add_placeholders()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the word's vectors, the only parameters that learn."""
        return [{"name": "embedding", "params": self.embedding_rows, "lr": self.learning_rate}]

    def adapter(self) -> AdapterSet:
        """Return a copy of the word, on the CPU."""
        return AdapterSet(TokenEmbeddingAdapter.from_model(self.model))
