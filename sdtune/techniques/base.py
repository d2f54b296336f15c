"""What every technique shares: its arguments, the training step and the validation loss."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from sdtune._checks import ArgumentsError, check_all, check_not_negative, check_positive
from sdtune.adapters.lora.target_modules import target_problems
from sdtune.functional import (
    Stream,
    add_noise,
    counter_generator,
    counter_randint,
    counter_randn,
    diffusion_loss,
    min_snr_weights,
    training_target,
)
from sdtune.models import Conditioning, PromptCache, check_base
from sdtune.techniques.optimization import (
    LRScheduleName,
    OptimizerName,
    build_lr_scheduler,
    build_optimizer,
    check_optimization_arguments,
    check_with_trainer,
    sets_own_rates,
    total_steps,
)
from sdtune.techniques.tuned_model import TunedModelModule

__all__ = ["DiffusionFineTuningModule"]

# Where the validation loss is measured, as shares of the noise schedule's length.
_VALIDATION_LEVELS = (0.2, 0.4, 0.6, 0.8)


class DiffusionFineTuningModule(TunedModelModule):
    """Base of the techniques: a subclass says what learns, and with which learning rates.

    All randomness is a function of (seed, epoch, sample).

    Args:
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        checks: What the technique checks of its own arguments, see `check_all`.
        learning_rates: Rates by the name of the argument that holds them, to be checked.
        optimizer: See `OptimizerName`.
        weight_decay: See `build_optimizer`.
        lr_schedule: See `LRScheduleName`.
        warmup_steps: Optimizer steps on which the learning rates rise.
        min_snr_gamma: Gamma of Min-SNR loss weights (Hang et al. 2023); None is off.
        noise_offset: Share of noise that is constant over a picture, 0 or more; lets the model
            learn pictures that are dark or bright as a whole.
        clip_skip: Text encoder layer, counted from the end.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        draws_dropout: Whether anything in the model is dropped at random while it trains.
        seed: Seed of noise, timesteps, dropout and of what learns.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        *,
        base: str,
        checks: Sequence[Callable[[], None]],
        learning_rates: Mapping[str, float | None],
        optimizer: OptimizerName,
        weight_decay: float,
        lr_schedule: LRScheduleName,
        warmup_steps: int,
        min_snr_gamma: float | None,
        noise_offset: float,
        clip_skip: int,
        gradient_checkpointing: bool,
        draws_dropout: bool,
        seed: int,
    ) -> None:
        super().__init__(
            base=base, clip_skip=clip_skip, gradient_checkpointing=gradient_checkpointing
        )
        check_all(
            *checks,
            lambda: check_base(base),
            lambda: check_optimization_arguments(
                optimizer, lr_schedule, learning_rates, weight_decay, warmup_steps
            ),
            lambda: check_positive("min_snr_gamma", min_snr_gamma),
            lambda: check_not_negative("noise_offset", noise_offset),
            lambda: check_positive("clip_skip", clip_skip, of="integer"),
        )
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.warmup_steps = warmup_steps
        self.min_snr_gamma = min_snr_gamma
        self.noise_offset = noise_offset
        self.draws_dropout = draws_dropout
        self.seed = seed
        self._prompts = PromptCache()
        self._trained_prompts = self._prompts

    def problems(self) -> list[str]:
        """List what in its arguments does not fit its base; loads no weights.

        Returns:
            One sentence each.
        """
        lora = getattr(self, "lora", None)
        if lora is None or getattr(self, "full_finetune", False):
            return []
        tunes_text = getattr(self, "text_encoder_learning_rate", None) is not None
        return target_problems(self.base, lora.target_modules, text_encoder=tunes_text)

    def problems_with(self, data: object) -> list[str]:
        """List what keeps this technique from training on some data; loads no weights.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence each.
        """
        return []

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's groups: `params`, `lr` and a `name`."""

    def encodes_anew(self, caption: str) -> bool:
        """Tell whether what a caption is encoded to can change from step to step.

        Args:
            caption: A caption.

        Returns:
            Whether the text encoder learns.
        """
        return self.trains_text_encoder

    def setup(self, stage: str) -> None:
        """Compare with the data, then load the base and add what learns.

        Args:
            stage: What the Trainer is about to do.

        Raises:
            ValueError: If there are `problems_with` the data, or the Trainer's precision does not
                fit.
        """
        if stage == "fit":
            problems = self.problems_with(getattr(self.trainer, "datamodule", None))
            if problems:
                raise ArgumentsError(problems)
        super().setup(stage)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Encode, draw timesteps, add noise, predict, compare with the target.

        Args:
            batch: `pixel_values` (B, 3, H, W) in [-1, 1] or `moments` (B, 2C, h, w), with
                `caption` and `index`.
            batch_idx: Not used: what is drawn depends on the samples.

        Returns:
            The mean loss, as in `step_outputs`.
        """
        losses, timesteps = self.training_losses(batch)
        loss = losses.mean()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch["index"]))
        return self.step_outputs(loss, losses, timesteps)

    def step_outputs(self, loss: Tensor, losses: Tensor, timesteps: Tensor) -> dict[str, Tensor]:
        """Make what a training step returns: to Lightning the loss, to callbacks each picture's.

        Args:
            loss: What is minimised, a scalar.
            losses: (B,) the losses of the samples.
            timesteps: (B,) int64 at which they were measured.

        Returns:
            `loss`, `sample_losses` (detached) and `timesteps`.
        """
        return {"loss": loss, "sample_losses": losses.detach(), "timesteps": timesteps}

    def training_losses(self, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
        """Compute each sample's loss, at a timestep and with noise of its own.

        Args:
            batch: As in `training_step`.

        Returns:
            (B,) float32, and the timesteps (B,) int64.
        """
        latents = self._latents(batch)
        noise = self._noise(latents, batch["index"])
        timesteps = self._timesteps(batch["index"]).to(latents.device)
        with self._reproducible_dropout(batch["index"]):
            return self._losses(batch, latents, noise, timesteps), timesteps

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Measure the loss at noise and timesteps that never change.

        The mean is over a fifth, two, three and four fifths of the noise schedule (timesteps 200,
        400, 600 and 800 of 1000), so that the curve falls when the model learns and is otherwise
        still.
        """
        latents = self._latents(batch, validation=True)
        total = self.model.noise_scheduler.config.num_train_timesteps
        losses = []
        for level, share in enumerate(_VALIDATION_LEVELS):
            noise = counter_randn(
                latents.shape[1:], self.seed, Stream.VALIDATION, level, batch["index"]
            ).to(latents)
            timesteps = torch.full((len(latents),), round(share * total), device=self.device)
            losses.append(self._losses(batch, latents, noise, timesteps, weighted=False))
        loss = torch.stack(losses).mean()
        self.log("val/loss", loss, prog_bar=True, batch_size=len(latents), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and the learning-rate schedule that the arguments name.

        Raises:
            ValueError: If the schedule needs an end and the run has none, or a callback averages
                what the optimizer averages.
        """
        optimizer = build_optimizer(self.optimizer, self.parameter_groups(), self.weight_decay)
        check_with_trainer(optimizer, self.warmup_steps, self.trainer)
        if sets_own_rates(self.optimizer):
            return {"optimizer": optimizer}
        lr_scheduler = build_lr_scheduler(
            self.lr_schedule, optimizer, self.warmup_steps, total_steps(self.trainer)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": lr_scheduler, "interval": "step"},
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of another optimizer, whose state means something else.

        Raises:
            ValueError: If training is to go on with another optimizer, or the bases differ.
        """
        super().on_load_checkpoint(checkpoint)
        before = checkpoint.get("hyper_parameters", {}).get("optimizer", self.optimizer)
        if self.is_fitting and before != self.optimizer:
            raise ValueError(
                f"The checkpoint was trained with `optimizer` `{before}`, and its state means "
                f"nothing to `{self.optimizer}`: give `model.optimizer` `{before}` to go on."
            )

    def hold_average(self) -> None:
        """Put the average into the module; what is encoded with it is no input of training."""
        super().hold_average()
        self._trained_prompts = self._prompts
        if self.trains_text_encoder:
            self._prompts = PromptCache()

    def release_average(self) -> None:
        """Put the trained weights back, and what was encoded with them."""
        super().release_average()
        self._prompts = self._trained_prompts

    def on_fit_start(self) -> None:
        """Encode once what nothing random touches, and put the encoders aside."""
        data = cast(Any, getattr(self.trainer, "datamodule", None))
        if getattr(data, "can_cache_latents", False):
            vae = f"{self.model.fingerprint('vae')}-{self.model.vae.dtype}"
            data.cache_latents(self.model.encode_images, vae, self.device)
            self.model.vae.to("cpu")
        if not self.trains_text_encoder:
            if hasattr(data, "captions"):
                self._prompts.remember(data.captions(), self._encode)
            self.model.text_encoders.to("cpu")

    def _losses(
        self,
        batch: dict[str, Any],
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        weighted: bool = True,
    ) -> Tensor:
        """Return each sample's loss, (B,) float32."""
        alphas_cumprod = self.model.alphas_cumprod
        prediction_type = self.model.prediction_type
        noisy_latents = add_noise(latents, noise, timesteps, alphas_cumprod)
        conditioning = self._conditioning(batch["caption"])
        conditioning = conditioning.with_inputs(self.model.picture_inputs(batch, latents))
        model_pred = self.model(noisy_latents, timesteps, conditioning)
        target = training_target(latents, noise, timesteps, alphas_cumprod, prediction_type)
        weights = None
        if weighted and self.min_snr_gamma is not None:
            weights = min_snr_weights(
                timesteps, alphas_cumprod, self.min_snr_gamma, prediction_type
            )
        return diffusion_loss(model_pred, target, weights)

    def _latents(self, batch: dict[str, Any], validation: bool = False) -> Tensor:
        """Return scaled latents (B, C, h, w), drawn from the posterior, or its mean."""
        if "moments" in batch:
            moments = batch["moments"]
        else:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                moments = self.model.encode_images(batch["pixel_values"])
        if validation:
            return self.model.latents_from_moments(moments)
        mean = moments.chunk(2, dim=1)[0]
        noise = self._draw_normal(mean.shape[1:], Stream.POSTERIOR, batch["index"])
        return self.model.latents_from_moments(moments, noise.to(moments))

    def _noise(self, latents: Tensor, indices: Sequence[int]) -> Tensor:
        noise = self._draw_normal(latents.shape[1:], Stream.NOISE, indices)
        if self.noise_offset:
            shape = (latents.shape[1], 1, 1)
            noise += self.noise_offset * self._draw_normal(shape, Stream.OFFSET, indices)
        return noise.to(latents)

    def _draw_normal(self, shape: Sequence[int], stream: Stream, indices: Sequence[int]) -> Tensor:
        return counter_randn(shape, self.seed, stream, self.current_epoch, indices)

    def _timesteps(self, indices: Sequence[int]) -> Tensor:
        total = self.model.noise_scheduler.config.num_train_timesteps
        return counter_randint(0, total, self.seed, Stream.TIMESTEP, self.current_epoch, indices)

    def _conditioning(self, captions: Sequence[str]) -> Conditioning:
        """Encode captions, each once, or look them up where nothing of them learns."""
        if self.trains_text_encoder and self.draws_dropout:
            return self._encode(captions)  # each sample drops its own inputs
        return self._prompts.batch(captions, self._encode, self.encodes_anew, self.device)

    def _encode(self, captions: Sequence[str]) -> Conditioning:
        return self.model.encode_prompts(captions, self.clip_skip)

    @contextmanager
    def _reproducible_dropout(self, indices: Sequence[int]) -> Iterator[None]:
        """Make what torch draws from its global state a function of the batch, for a while."""
        if not self.draws_dropout:
            yield
            return
        generator = counter_generator(self.seed, Stream.DROPOUT, self.current_epoch, *indices)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(generator.initial_seed())
            yield
