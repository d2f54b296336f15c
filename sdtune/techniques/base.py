"""What every technique shares: its arguments, the training step and the validation loss."""

from __future__ import annotations

from contextlib import nullcontext
from inspect import currentframe
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from sdtune._arguments import whole_signature
from sdtune._checks import check_all, check_not_negative, check_positive, check_types
from sdtune._run_steps import may_train, total_steps
from sdtune._samples import checked_batch, sample_names
from sdtune.functional import (
    Stream,
    add_noise,
    copied_to,
    counter_randn,
    diffusion_loss,
    latent_weights,
    min_snr_weights,
    training_target,
    weighed,
)
from sdtune.models import check_base
from sdtune.models.quantization import Quantization
from sdtune.techniques.encoding import fill_features
from sdtune.techniques.method import Method
from sdtune.techniques.optimization import (
    LRScheduleName,
    OptimizerName,
    ParameterGroup,
    begin_schedules,
    build_lr_scheduler,
    build_optimizer,
    check_optimization_arguments,
    optimization_problems,
    sets_own_rates,
    tell_short_run,
)
from sdtune.techniques.prior_preservation import PriorPreservation
from sdtune.techniques.trainer_problems import finder_problems
from sdtune.techniques.training_draws import DrawingModule, TrainingDraws
from sdtune.techniques.watched_module import check_roll_backs

__all__ = ["DiffusionFineTuningModule"]

# Where the validation loss is measured, as shares of the noise schedule's length.
_VALIDATION_LEVELS = (0.2, 0.4, 0.6, 0.8)


class DiffusionFineTuningModule(DrawingModule):
    """Base of the techniques, and the arguments that they share.

    A technique names what learns, and what it learns beside. It declares its own arguments and
    takes those below by `**kwargs`, which it hands on here: so they stand once, and are options,
    keys and part of `inspect.signature` for all. Randomness is a function of (seed, epoch, sample),
    see `training_losses`.

    Lightning's `EMAWeightAveraging` averages what learns: the average is what is validated,
    sampled, scored and written, and training goes on from the current weights. In a recipe, below
    `trainer.callbacks`,

        - class_path: lightning.pytorch.callbacks.EMAWeightAveraging
          init_args: {decay: 0.99}

    Args:
        method: What learns, and what it learns beside. Nobody types it: a technique makes it.
        base: `nano`, a folder in diffusers' layout, a Hugging Face id or a single file.
        optimizer: Name of the optimizer, see `sdtune.techniques.optimization.OptimizerName`.
        weight_decay: Decoupled weight decay of what learns.
        lr_schedule: `constant`, `linear` or `cosine`, after the warm-up.
        warmup_steps: Optimizer steps on which the rates rise linearly.
        min_snr_gamma: Gamma of Min-SNR loss weights (Hang et al. 2023; 5 is usual); None is off.
        noise_offset: Share of noise that is constant over a picture, for dark and bright ones.
        clip_skip: Text encoder layer, counted from the end. Layers behind it do not learn.
        max_prompt_chunks: Chunks of 75 tokens that a prompt may have, encoded each by itself and
            joined as in A1111, in training, samples and scores; what goes beyond them is cut off.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, slower.
        cuda_graphs: Let a GPU repeat the passes of a step by itself, as they were recorded at the
            second one of its shape: the same operations, without Python between them. It needs a
            GPU that trains alone; not used beside dropout, nor for a whole UNet.
        compile: Compile the UNet's transformer blocks: a slow first step, quicker ones after it.
        quantization: `nf4` or `int8`: the base's linear layers in 4 or 8 bits; None is as they are.
        roll_backs: How often training goes back, at half the rates, when numbers are lost.
        seed: Seed of first values, noise, timesteps and dropout.
        adapter: A file or folder to go on training from, in any format that is read. A LoRA's rank,
            alpha and modules are the file's: arguments not left at their defaults must agree.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    def __init__(
        self,
        method: Method,
        *,
        base: str = "nano",
        optimizer: OptimizerName = "adamw",
        weight_decay: float = 1e-2,
        lr_schedule: LRScheduleName = "constant",
        warmup_steps: int = 0,
        min_snr_gamma: float | None = None,
        noise_offset: float = 0.0,
        clip_skip: int = 1,
        max_prompt_chunks: int = 1,
        gradient_checkpointing: bool = False,
        cuda_graphs: bool = True,
        compile: bool = False,
        quantization: Quantization | None = None,
        roll_backs: int = 0,
        seed: int = 42,
        adapter: str | None = None,
    ) -> None:
        super().__init__(
            roll_backs=roll_backs,
            learns=method.learns,
            base=base,
            clip_skip=clip_skip,
            max_prompt_chunks=max_prompt_chunks,
            gradient_checkpointing=gradient_checkpointing,
            cuda_graphs=cuda_graphs,
            compile=compile,
            quantization=quantization,
            seed=seed,
            adapter=adapter,
        )
        # a technique's own arguments too; Lightning would keep a frame that it finds by itself
        self.save_hyperparameters(ignore="method", frame=currentframe())
        check_types(type(self), self.hparams)
        check_all(
            lambda: method.check(base),
            lambda: check_base(base),
            lambda: check_optimization_arguments(
                optimizer, lr_schedule, method.learning_rates, weight_decay, warmup_steps
            ),
            lambda: check_positive("min_snr_gamma", min_snr_gamma),
            lambda: check_not_negative("noise_offset", noise_offset),
            lambda: check_positive("clip_skip", clip_skip, of="integer"),
            lambda: check_positive("max_prompt_chunks", max_prompt_chunks, of="integer"),
            lambda: check_roll_backs(roll_backs, optimizer),
            lambda: method.check_quantization(quantization),
        )
        self.method = method
        for name, rate in method.learning_rates.items():  # Lightning's rate finder may set another
            setattr(self, name, rate)
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.lr_schedule = lr_schedule
        self.warmup_steps = warmup_steps
        self.min_snr_gamma = min_snr_gamma
        self.noise_offset = noise_offset

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments that a technique hands on among its own."""
        super().__init_subclass__(**kwargs)
        cls.__signature__ = whole_signature(cls, hidden=("method",))  # type: ignore[attr-defined]

    @property
    def rates_follow_recipe(self) -> bool:
        """Whether a resumed run has the recipe's learning rates, not those of the optimizer."""
        return not sets_own_rates(self.optimizer)

    @property
    def prior(self) -> PriorPreservation | None:
        """The class pictures to learn beside, if their loss counts."""
        prior = self.method.prior
        return prior if prior and prior.loss_weight else None

    def problems_with(self, data: object) -> list[str]:
        """List what keeps this technique from training on some data; loads no weights.

        Args:
            data: A data module, set up or not.

        Returns:
            One sentence each.
        """
        return super().problems_with(data) + (self.prior.problems_with(data) if self.prior else [])

    def problems_with_trainer(self, trainer: pl.Trainer) -> list[str]:
        """List what keeps this technique from being trained by a Trainer; loads no weights."""
        problems = super().problems_with_trainer(trainer)
        if not may_train(trainer):
            return problems
        problems += optimization_problems(self.optimizer, self.lr_schedule, trainer)
        return problems + (finder_problems(trainer) if self.prior else [])

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> dict[str, Tensor]:
        """Encode, draw timesteps, add noise, predict, compare with the target.

        Args:
            batch: `pixel_values` (B, 3, H, W) in [-1, 1] or `moments` (B, 2C, h, w), with
                `caption`, `index` (B whole numbers that tell samples apart) and perhaps
                `loss_weights` (B, 1, H, W) or (B, 1, h, w), 0 or more; beside a prior, class
                pictures in entries that begin with `class_`, which pass through the UNet together
                with the others. `sample_weights`, B numbers, say what each sample counts where some
                only stand in, see `Batches`.
            batch_idx: Not used: what is drawn is told in `training_losses`.

        Returns:
            To Lightning `loss`, the mean, with the class pictures' as the prior weighs it; to
            callbacks each picture's: `sample_losses` (B,), detached, and `timesteps` (B,) int64.
        """
        count = len(checked_batch(batch)["index"])
        losses, timesteps = self.training_losses(self.prior.joined(batch) if self.prior else batch)
        counted = weighed(losses, batch.get("sample_weights"))
        loss, class_losses = counted[:count].mean(), counted[count:]
        logged = {"train/loss": loss}
        if self.prior:
            logged |= {"train/instance_loss": loss, "train/class_loss": class_losses.mean()}
            loss = logged["train/loss"] = self.prior.loss(counted[:count], class_losses)
        self._log_of_all_processes(logged, count)
        return {
            "loss": loss,
            "sample_losses": losses[:count].detach(),
            "timesteps": timesteps[:count],
        }

    def training_losses(
        self, batch: dict[str, Any], number: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute each sample's loss, at a timestep and with noise of its own.

        They are drawn from the seed, the epoch and `index`, which tells a sample from the others
        of its epoch where an sdtune data module loads them. Of another loader, which may show one
        again, the number of its batch in the epoch, the process, and how often the batch had the
        index before, count, too; so they do in a loop without a Trainer, which has no epochs.

        Args:
            batch: As in `training_step`.
            number: Of this batch in a loop without a Trainer, from 0 on: to go on with one exactly,
                or to draw the same again. None counts the calls.

        Returns:
            (B,) float32, and the timesteps (B,) int64.
        """
        draws = self._draws(checked_batch(batch), number)
        latents = self._latents(batch, draws)
        noise = self._noise(latents, draws)
        timesteps = self._timesteps(draws)
        with draws.random_state(self.device) if self._drops_inputs else nullcontext():
            losses = self._losses(batch, latents, noise, timesteps)
        timesteps = copied_to(timesteps, losses.device)
        if self.is_training:  # nothing else looks at what is watched, and forgets it
            self._watch.see_batch(self.global_step + 1, sample_names(batch), timesteps, losses)
        return losses, timesteps

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Measure the loss at noise and timesteps that never change.

        The mean is over a fifth, two, three and four fifths of the noise schedule (timesteps 200,
        400, 600 and 800 of 1000), so that the curve falls when the model learns and is otherwise
        still.
        """
        latents = self._latents(checked_batch(batch))
        total = self.model.num_train_timesteps
        losses = []
        for level, share in enumerate(_VALIDATION_LEVELS):
            shape, drawn = latents.shape[1:], (self.seed, Stream.VALIDATION, level, batch["index"])
            noise = copied_to(counter_randn(shape, *drawn), latents.device, latents.dtype)
            timesteps = torch.full((len(latents),), round(share * total))
            losses.append(self._losses(batch, latents, noise, timesteps, training=False))
        weights = batch.get("sample_weights")
        loss = torch.stack([weighed(each, weights) for each in losses]).mean()
        # of all processes: Lightning takes the mean of the sizes too, in whole numbers
        together = batch.get("together", len(latents) * self._processes)
        self.log("val/loss", loss, prog_bar=True, batch_size=together, sync_dist=True)

    def parameter_groups(self) -> list[ParameterGroup]:
        """Return the optimizer's groups: `params`, `lr` and a `name`."""
        return [
            {"name": each.name, "params": each.parameters, "lr": getattr(self, each.rate)}
            for each in self.groups()
        ]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Build the optimizer and the learning-rate schedule that the arguments name.

        Raises:
            ArgumentsError: If the schedule needs an end and the data have none.
        """
        optimizer = build_optimizer(self.optimizer, self.parameter_groups(), self.weight_decay)
        tell_short_run(self.warmup_steps, self.trainer)
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

    def fill_features(self, data: Any, precision: str, share: int = 0, shares: int = 1) -> None:
        """Encode a share of some data for later runs, see `sdtune.techniques.encoding`."""
        fill_features(self, self.encode, data, precision, share, shares)

    def on_fit_start(self) -> None:
        """Let the base draw class pictures; encode once what nothing random touches."""
        data = cast(Any, getattr(self.trainer, "datamodule", None))
        if self.prior:
            # a resumed run has learned already
            with self.untuned(), self.trainer.precision_plugin.forward_context():
                self.prior.make_class_pictures(self, data)
        self.encode_once(data)
        begin_schedules(self.trainer, self.parameter_groups())
        # a loader that counted batches, or fed a finder, knows of no checkpoint, which is read
        # after this, and of no latents: a resumed epoch would begin anew. The Trainer makes another
        self.trainer.fit_loop._combined_loader = None
        if self.records_passes:
            self.model.passes.start(self.model.unet, self.model.text_encoders)

    def on_fit_end(self) -> None:
        """Free the memory of what was recorded."""
        super().on_fit_end()
        if "model" in self._modules:
            self.model.passes.stop()

    @property
    def records_passes(self) -> bool:
        """Whether a GPU repeats the passes of a step by itself, see `cuda_graphs`."""
        # a recording has gradients of its own, which would be a second UNet beside a whole one's,
        # and cannot put the state back that dropout draws from
        is_simple = not any(each.drops_inputs or each.needs_float32 for each in self.learns)
        return self.cuda_graphs and is_simple and self._processes == 1

    def _losses(
        self,
        batch: dict[str, Any],
        latents: Tensor,
        noise: Tensor,
        timesteps: Tensor,
        training: bool = True,
    ) -> Tensor:
        """Return each sample's loss, (B,) float32; `timesteps` are on the CPU."""
        drawn, timesteps = timesteps, copied_to(timesteps, latents.device)
        alphas_cumprod = self.model.alphas_cumprod
        prediction_type = self.model.prediction_type
        noisy_latents = add_noise(latents, noise, timesteps, alphas_cumprod)
        conditioning = self._conditioning(batch["caption"])
        conditioning = conditioning.with_inputs(self.model.picture_inputs(batch, latents))
        target = training_target(latents, noise, timesteps, alphas_cumprod, prediction_type)
        places = latent_weights(batch.get("loss_weights"), latents)
        if training and self.method.content:  # before the pass that keeps its activations
            target = self.method.content.target(
                self, batch, drawn, noisy_latents, timesteps, conditioning, target, places
            )
        model_pred = self.model(noisy_latents, timesteps, conditioning)
        weights = None
        if training and self.min_snr_gamma is not None:
            weights = min_snr_weights(
                timesteps, alphas_cumprod, self.min_snr_gamma, prediction_type
            )
        return diffusion_loss(model_pred, target, weights, places)

    def _latents(self, batch: dict[str, Any], draws: TrainingDraws | None = None) -> Tensor:
        """Return scaled latents (B, C, h, w), drawn from the posterior, or its mean."""
        if "moments" in batch:
            moments = batch["moments"]
        else:
            with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
                moments = self.model.encode_images(batch["pixel_values"])
        if draws is None:
            return self.model.latents_from_moments(moments)
        mean = moments.chunk(2, dim=1)[0]
        noise = draws.normal(mean.shape[1:], Stream.POSTERIOR)
        return self.model.latents_from_moments(
            moments, copied_to(noise, moments.device, moments.dtype)
        )

    def _noise(self, latents: Tensor, draws: TrainingDraws) -> Tensor:
        noise = draws.normal(latents.shape[1:], Stream.NOISE)
        if self.noise_offset:
            shape = (latents.shape[1], 1, 1)
            noise += self.noise_offset * draws.normal(shape, Stream.OFFSET)
        return copied_to(noise, latents.device, latents.dtype)

    def _timesteps(self, draws: TrainingDraws) -> Tensor:
        return draws.timesteps(self.model.num_train_timesteps)
