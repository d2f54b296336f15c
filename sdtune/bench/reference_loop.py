"""What common scripts do: every step encodes its pictures and its prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sdtune.adapters.lora.layers import lora_layers, tunable_parts
from sdtune.models import load
from sdtune.models.quantization import Quantization, quantize_base
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.techniques.base import DiffusionFineTuningModule
from sdtune.techniques.learned_lora import LearnedLoRA
from sdtune.techniques.learned_words import LearnedWords
from sdtune.techniques.trainer_problems import BASE_DTYPES

if TYPE_CHECKING:
    from peft.tuners.lora import LoraLayer

__all__ = ["ReferenceLoop", "has_reference"]

_LARGEST_NORM = 1.0  # the scripts' default


def has_reference(module: DiffusionFineTuningModule) -> bool:
    """Tell whether common scripts train what a technique trains: a LoRA, words, or both.

    Args:
        module: A technique.
    """
    return all(isinstance(each, LearnedLoRA | LearnedWords) for each in module.learns)


class ReferenceLoop:
    """Trains the same weights as a technique, as diffusers' example scripts do.

    Nothing is kept from step to step: the VAE encodes the pictures, the text encoder the prompts;
    AdamW follows, and the loss is read. For a word the whole table of embeddings has gradients,
    moments and decay, and all rows but one are then put back. Reading and decoding the pictures
    and tokenizing are not timed, which is in this loop's favour.

    Args:
        like: The technique that is being trained, with its model loaded.
        precision: The Trainer's.
        resolution: Side of the pictures, in pixels.
        gradient_checkpointing: Whether activations are recomputed.
        quantization: How the frozen linear layers are kept; None is as they are.
    """

    def __init__(
        self,
        like: DiffusionFineTuningModule,
        precision: str,
        resolution: int,
        gradient_checkpointing: bool = False,
        quantization: Quantization | None = None,
    ) -> None:
        self.resolution = resolution
        self.device = like.model.device
        self.dtype = BASE_DTYPES[precision]
        self.model = load(like.base)
        unet: Any = self.model.unet
        unet.to(memory_format=torch.contiguous_format)
        self.learns_words = any(isinstance(each, LearnedWords) for each in like.learns)
        self.model.set_dtype(self.dtype)
        if self.learns_words:
            self.model.text_encoders.float()
        if quantization is not None:  # the UNet's alone: scripts keep text encoders as they are
            quantize_base(self.model, quantization)
        self.has_prior = like.prior is not None
        self.prior_loss_weight = like.prior.loss_weight if like.prior else 0.0
        if len(self.model.text_encoders) == 1:  # scripts for XL keep the VAE in float32
            vae: Any = self.model.vae
            vae.to(self.dtype)
        self.model.to(self.device)
        learned = _add_same_lora(self.model, like.model)
        self.trains_text_encoder = self.learns_words or any(
            lora_layers(each) for each in self.model.text_encoders
        )
        self.model.train()
        self.model.text_encoders.train(self.trains_text_encoder)
        if gradient_checkpointing:
            unet.enable_gradient_checkpointing()
        self._add_table(learned)
        self.learned = learned
        self.optimizer = torch.optim.AdamW(learned, lr=1e-4, weight_decay=1e-2)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)

    def prepare(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Make pictures and token ids; what the pictures show costs nothing.

        Args:
            batch: With `caption` and, beside a prior, `class_caption`.
        """
        captions = [*batch["caption"], *(batch.get("class_caption", ()) if self.has_prior else ())]
        pixels = torch.rand(len(captions), 3, self.resolution, self.resolution) * 2 - 1
        encoders = range(len(self.model.tokenizers))
        token_ids = [self.model.tokenize(captions, each) for each in encoders]
        if self.device.type == "cuda":
            pixels, token_ids = pixels.pin_memory(), [each.pin_memory() for each in token_ids]
        return {"pixel_values": pixels, "token_ids": token_ids}

    def step(self, inputs: Mapping[str, Any]) -> None:
        """Encode pictures and prompts, and train.

        Args:
            inputs: As `prepare` makes them.
        """
        with torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        ):
            loss = self._loss(inputs)
        self.scaler.scale(loss).backward()
        if not self.learns_words:
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.learned, _LARGEST_NORM)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        if self.learns_words:
            with torch.no_grad():
                self.table[self.is_frozen] = self.initial[self.is_frozen]
        loss.item()  # such scripts show it at every step

    def _loss(self, inputs: Mapping[str, Any]) -> Tensor:
        model = self.model
        # scripts give the VAE its own precision, and no autocast
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            pixels = inputs["pixel_values"].to(self.device, model.vae.dtype, non_blocking=True)
            latents = model.vae.encode(pixels).latent_dist.sample()
            latents = (latents * model.vae.config["scaling_factor"]).to(self.dtype)
        ids = [each.to(self.device, non_blocking=True) for each in inputs["token_ids"]]
        encoders: Any = list(model.text_encoders)
        with torch.set_grad_enabled(self.trains_text_encoder):
            conditioning = model.family.encode(encoders, ids, 1)
        conditioning = conditioning.with_inputs(model.picture_inputs({}, latents))
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, model.num_train_timesteps, (len(latents),), device=self.device)
        scheduler: Any = model.noise_scheduler
        noisy = scheduler.add_noise(latents, noise, timesteps)
        prediction = model(noisy, timesteps, conditioning.to(dtype=self.dtype))
        is_noise = model.prediction_type == "epsilon"
        target = noise if is_noise else scheduler.get_velocity(latents, noise, timesteps)
        if not self.has_prior:
            return F.mse_loss(prediction.float(), target.float())
        instance, prior = prediction.float().chunk(2)
        wanted, prior_wanted = target.float().chunk(2)
        prior_loss = F.mse_loss(prior, prior_wanted)
        return F.mse_loss(instance, wanted) + self.prior_loss_weight * prior_loss

    def _add_table(self, learned: list[nn.Parameter]) -> None:
        if not self.learns_words:
            return
        text_encoder: Any = self.model.text_encoders[0]
        self.table: nn.Parameter = text_encoder.get_input_embeddings().weight
        self.table.requires_grad_(True)
        self.initial = self.table.detach().clone()
        self.is_frozen = torch.ones(len(self.table), dtype=torch.bool, device=self.device)
        self.is_frozen[-1] = False
        learned.append(self.table)


def _add_same_lora(model: StableDiffusion, like: StableDiffusion) -> list[nn.Parameter]:
    """Put a LoRA of the same ranks into the same modules, in float32."""
    from peft import LoraConfig, inject_adapter_in_model

    learned: list[nn.Parameter] = []
    parts = tunable_parts(model)
    for name, part in tunable_parts(like).items():
        layers: Any = lora_layers(part)
        if not layers:
            continue
        first: LoraLayer = next(iter(layers.values()))
        config = LoraConfig(
            r=first.r["default"],
            lora_alpha=first.lora_alpha["default"],
            target_modules=list(layers),
            init_lora_weights="gaussian",
        )
        inject_adapter_in_model(config, parts[name])
        for parameter in parts[name].parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
                learned.append(parameter)
    return learned
