"""A new word and a LoRA at once: the word finds the subject, the LoRA its details."""

from __future__ import annotations

import math
from dataclasses import asdict
from functools import partial
from typing import Any

from torch.optim import Optimizer

from sdtune.adapters.adapter_set import AdapterSet
from sdtune.adapters.lora import LoRAAdapter, LoRASettings, TargetModules, add_lora
from sdtune.adapters.words import EmbeddingNorm, Placeholder, TokenEmbeddingAdapter
from sdtune.techniques.optimization import (
    LRScheduleName,
    OptimizerName,
    lora_groups,
    total_steps,
)
from sdtune.techniques.placeholder import PlaceholderModule, check_placeholder

__all__ = ["PivotalTuningModule"]


class PivotalTuningModule(PlaceholderModule):
    """Learns a word and a LoRA together, each at a rate of its own (after Roich et al. 2021).

    The word is a pivot near the subject, and the LoRA tunes the model around it
    (https://arxiv.org/abs/2106.05744 did so for GANs). After a share of the training the word
    stops, without gradient or optimizer step; if the text encoder has no LoRA, prompts are from
    then on encoded once and looked up. Captions must hold the word.

    Args:
        placeholder_token: The word, see `TextualInversionModule`.
        initializer_token: The words that it starts from, likewise.
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        num_vectors: Tokens that the word is, from 1 to 8.
        embedding_norm: `free`, `table` or `initializer`, see `TextualInversionModule`.
        embedding_learning_rate: Rate of the word's vectors.
        embedding_stop_fraction: Share of the run's optimizer steps after which the word stops, in
            (0, 1]; 1 never stops. A run that is resumed with other `max_steps` stops elsewhere.
        rank: Inner dimension of each pair of matrices.
        alpha: The LoRA's update is scaled by `alpha / rank`.
        dropout: Probability of dropping an input of the update while training, in [0, 1).
        target_modules: `attention`, `attention+feed_forward`, `all` (also convolutions), or a list
            of the ends of module names.
        use_dora: Decompose the update into magnitude and direction (Liu et al. 2024).
        learning_rate: Rate of the UNet's LoRA.
        text_encoder_learning_rate: Rate of the text encoder's LoRA; None for none.
        optimizer: Name of the optimizer, see `sdtune.techniques.optimization.OptimizerName`.
        weight_decay: Decoupled weight decay.
        lr_schedule: `constant`, `linear` or `cosine`, after the warm-up.
        warmup_steps: Optimizer steps on which the rates rise linearly.
        min_snr_gamma: Gamma of Min-SNR loss weights (Hang et al. 2023; 5 is usual); None is off.
        noise_offset: Share of noise that is constant over a picture, 0 or more.
        clip_skip: Text encoder layer, counted from the end; 1 is the last.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        seed: Seed of the LoRA's first values, of noise, timesteps and dropout.

    Raises:
        TypeError: If `rank` or `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        placeholder_token: str,
        initializer_token: str,
        base: str = "nano",
        num_vectors: int = 1,
        embedding_norm: EmbeddingNorm = "free",
        embedding_learning_rate: float = 1e-3,
        embedding_stop_fraction: float = 0.5,
        rank: int = 16,
        alpha: float = 16.0,
        dropout: float = 0.0,
        target_modules: TargetModules | list[str] = "attention",
        use_dora: bool = False,
        learning_rate: float = 1e-4,
        text_encoder_learning_rate: float | None = None,
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
        word = Placeholder(placeholder_token, num_vectors, initializer_token)
        lora = LoRASettings(rank, alpha, dropout, target_modules, use_dora)
        super().__init__(
            base=base,
            checks=[
                partial(check_placeholder, base, word, embedding_norm),
                lora.check,
                lambda: _check_stop_fraction(embedding_stop_fraction),
            ],
            learning_rates={
                "embedding_learning_rate": embedding_learning_rate,
                "learning_rate": learning_rate,
                "text_encoder_learning_rate": text_encoder_learning_rate,
            },
            optimizer=optimizer,
            weight_decay=weight_decay,
            lr_schedule=lr_schedule,
            warmup_steps=warmup_steps,
            min_snr_gamma=min_snr_gamma,
            noise_offset=noise_offset,
            clip_skip=clip_skip,
            gradient_checkpointing=gradient_checkpointing,
            draws_dropout=dropout > 0,
            seed=seed,
        )
        self.save_hyperparameters()
        self.placeholders = [word]
        self.embedding_norm = embedding_norm
        self.embedding_learning_rate = embedding_learning_rate
        self.embedding_stop_fraction = embedding_stop_fraction
        self.lora = lora
        self.learning_rate = learning_rate
        self.text_encoder_learning_rate = text_encoder_learning_rate
        self._stop_step: int | None = None

    @property
    def learns_embedding(self) -> bool:
        """Whether the word is still being learned: not after its share of the steps."""
        return self._stop_step is None or self.global_step < self._stop_step

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            True for all if the text encoder has a LoRA; else as for the word alone.
        """
        return self.text_encoder_learning_rate is not None or super().encodes_anew(caption)

    def add_adapter(self) -> None:
        """Add the word, and a fresh LoRA to the UNet and, if it learns, to the text encoder."""
        self.add_placeholders()
        add_lora(
            self.model,
            **asdict(self.lora),
            text_encoder=self.text_encoder_learning_rate is not None,
            seed=self.seed,
        )
        for rows in self.embedding_rows:
            rows.requires_grad_(True)  # PEFT freezes all that it does not add

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the LoRA's matrices and the word's vectors, with their learning rates."""
        rate = self.embedding_learning_rate
        return [
            *lora_groups(self.model, self.learning_rate, self.text_encoder_learning_rate),
            {"name": "embedding", "params": self.embedding_rows, "lr": rate},
        ]

    def adapter(self) -> AdapterSet:
        """Return a copy of the word and of the LoRA, on the CPU."""
        word = TokenEmbeddingAdapter.from_model(self.model)
        return AdapterSet(word, LoRAAdapter.from_model(self.model))

    def on_train_start(self) -> None:
        """Find the step at which the word stops.

        Raises:
            ValueError: If it is a share of a run without an end.
        """
        steps = total_steps(self.trainer)
        if steps is None:
            if self.embedding_stop_fraction < 1:
                raise ValueError(
                    "Expected `trainer.max_steps` or `trainer.max_epochs`, of which "
                    "`embedding_stop_fraction` is a share: give one, or make the fraction 1."
                )
            return
        # 0.3 of 10 steps is 3 of them, whatever 0.3 is in binary
        self._stop_step = math.ceil(self.embedding_stop_fraction * steps - 1e-9)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Drop the gradient of a word that has stopped: optimizers pass over what has none.

        Args:
            optimizer: Not used.
        """
        if not self.learns_embedding:
            for rows in self.embedding_rows:
                rows.grad = None

    @property
    def _needs_connection(self) -> bool:
        # of several processes each waits for the gradients of all parameters
        return self.learns_embedding or self.trainer.world_size > 1


def _check_stop_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(
            f"Expected `embedding_stop_fraction` to be above 0 and at most 1, but got {fraction}."
        )
