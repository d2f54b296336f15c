"""A new word and a LoRA at once: the word finds the subject, the LoRA its details."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
from torch.optim import Optimizer

from sdtune._checks import ArgumentsError
from sdtune._run_steps import is_endless, may_train, total_steps
from sdtune.adapters.lora import AdapterType, LoRASettings, TargetModules
from sdtune.adapters.words import EmbeddingNorm
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.learned_lora import LearnedLoRA
from sdtune.techniques.learned_words import LearnedWords, word_of
from sdtune.techniques.method import Method
from sdtune.techniques.prior_preservation import PriorPreservation

__all__ = ["PivotalTuningModule"]


class PivotalTuningModule(DiffusionFineTuningModule):
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
            (0, 1]; 1 never stops, and is for a run without an end. A run that is resumed with other
            `max_steps` stops elsewhere. Steps that a roll-back has undone do not count, and none
            undoes a word that has stopped.
        rank: Inner dimension of each pair of matrices.
        alpha: The LoRA's update is scaled by `alpha / rank`.
        dropout: Probability of dropping an input of the update while training, in [0, 1).
        target_modules: `attention`, `attention+feed_forward`, `all` (also convolutions), or a list
            of the ends of module names.
        use_dora: Decompose the update into magnitude and direction (Liu et al. 2024).
        adapter_type: `lora`; or `loha` or `lokr`, LyCORIS' products of two (Yeh et al. 2024), which
            A1111 and ComfyUI read, and diffusers does not.
        learning_rate: Rate of the UNet's LoRA.
        text_encoder_learning_rate: Rate of the text encoder's LoRA; None for none.
        prior_loss_weight: Factor of the class pictures' loss, 0 or more. Above 0 every step sees
            as many pictures of the class as of the subject, as in `DreamBoothModule`: without
            them the LoRA takes the class along.
        class_inference_steps: Steps of the noise scheduler for class pictures.
        class_guidance_scale: Strength of classifier-free guidance for class pictures.
        **kwargs: See `DiffusionFineTuningModule`.

    Raises:
        TypeError: If `rank` or `num_vectors` is no integer.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        placeholder_token: str | None = None,
        initializer_token: str | None = None,
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
        adapter_type: AdapterType = "lora",
        learning_rate: float = 1e-4,
        text_encoder_learning_rate: float | None = None,
        prior_loss_weight: float = 0.0,
        class_inference_steps: int = 25,
        class_guidance_scale: float = 7.5,
        **kwargs: Any,
    ) -> None:
        word = word_of(placeholder_token, num_vectors, initializer_token)
        words = LearnedWords([word], embedding_norm)
        settings = LoRASettings(
            rank, alpha, dropout, target_modules, use_dora, adapter_type=adapter_type
        )
        lora = LearnedLoRA(settings, text_encoder=text_encoder_learning_rate is not None)
        method = Method(
            learns=[lora, words],
            learning_rates={
                "embedding_learning_rate": embedding_learning_rate,
                "learning_rate": learning_rate,
                "text_encoder_learning_rate": text_encoder_learning_rate,
            },
            prior=PriorPreservation(prior_loss_weight, class_inference_steps, class_guidance_scale),
            checks=[lambda: _check_stop_fraction(embedding_stop_fraction)],
        )
        super().__init__(method, base=base, **kwargs)
        self.words = words
        self.embedding_stop_fraction = embedding_stop_fraction

    def problems_with_trainer(self, trainer: pl.Trainer) -> list[str]:
        """List what keeps this technique from being trained by a Trainer; loads no weights."""
        problems = super().problems_with_trainer(trainer)
        ends = not is_endless(trainer) or not may_train(trainer)
        return problems + ([] if ends else self._endless_problems())

    def on_train_start(self) -> None:
        """Find the step at which the word stops; a run that is resumed may be past it.

        Raises:
            ArgumentsError: If it stops after a share of the run, and the data have no end.
        """
        super().on_train_start()
        steps = total_steps(self.trainer)
        if steps is None and (problems := self._endless_problems()):
            raise ArgumentsError(problems)
        self._stop_step = math.inf
        if steps is not None and self.embedding_stop_fraction < 1:
            # 0.3 of 10 steps is 3 of them, whatever 0.3 is in binary
            self._stop_step = math.ceil(self.embedding_stop_fraction * steps - 1e-9)
        self.words.is_learning = self.steps_kept < self._stop_step

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Stop the word in time, and let it learn on where training has gone back behind that."""
        super().on_train_batch_end(outputs, batch, batch_idx)
        if self.words.is_learning and self.steps_kept >= self._stop_step:
            self.keep_good_state()  # which may find that this step is none
        self.words.is_learning = self.steps_kept < self._stop_step

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Drop the gradient of a word that has stopped: optimizers pass over what has none.

        Args:
            optimizer: Not used.
        """
        if not self.words.is_learning:
            for rows in self.words.rows(self.model):
                rows.grad = None
        super().on_before_optimizer_step(optimizer)

    def _endless_problems(self) -> list[str]:
        if self.embedding_stop_fraction == 1:
            return []
        return [
            "Expected `trainer.max_steps` or `trainer.max_epochs` to say where the run ends, for "
            f"the word stops after {self.embedding_stop_fraction} of it: give one, or set "
            "`model.embedding_stop_fraction` to 1."
        ]


def _check_stop_fraction(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(
            f"Expected `embedding_stop_fraction` to be above 0 and at most 1, but got {fraction}."
        )
