"""nano's UNet and its training."""

from inspect import currentframe
from pathlib import Path
from typing import Any

import lightning as L
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from sdtune.functional import (
    Stream,
    add_noise,
    counter_rand,
    counter_randn,
    diffusion_loss,
    training_target,
)
from sdtune.models import StableDiffusion, sample
from sdtune.nano.making.scene_data import SceneBatch
from sdtune.nano.making.schedule import adamw_with_decay

__all__ = ["NanoDenoiserModule"]


class NanoDenoiserModule(L.LightningModule):
    """Trains a UNet2DConditionModel on scenes, from nothing, by the diffusion loss.

    The text encoder may learn with it: a CLIP of this size tells captions apart by what differs
    within its batches, and a UNet wants to hear the rest as well.

    Args:
        base: Folder with the trained `vae`, `text_encoder` and `tokenizer` and the `scheduler`,
            as `python -m sdtune.nano base` writes it.
        learning_rate: AdamW's rate on the plateau, for the UNet.
        text_encoder_learning_rate: The same for the text encoder; None keeps it as it is.
        block_out_channels: Channels at 16, 8 and 4 latent pixels. Only the middle one has
            cross-attention: at 16 it would take as long as all the rest.
        head_dim: Channels of an attention head.
        caption_dropout: Share of captions replaced by the empty one, in [0, 1], for
            classifier-free guidance.
        seed: Seed of the initial weights, noise and timesteps.
    """

    def __init__(
        self,
        base: str,
        learning_rate: float = 1e-3,
        text_encoder_learning_rate: float | None = None,
        block_out_channels: tuple[int, int, int] = (64, 128, 192),
        head_dim: int = 32,
        caption_dropout: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(frame=currentframe())  # else Lightning keeps it
        self.learning_rate = learning_rate
        self.text_encoder_learning_rate = text_encoder_learning_rate
        self.caption_dropout = caption_dropout
        self.seed = seed
        folder = Path(base)
        text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder").float()
        vae = AutoencoderKL.from_pretrained(folder / "vae").float()
        unet = _unet(vae, text_encoder, block_out_channels, head_dim, seed)
        self.model = StableDiffusion(
            unet=unet,
            vae=vae,
            text_encoders=[text_encoder],
            tokenizers=[CLIPTokenizer.from_pretrained(folder / "tokenizer")],
            noise_scheduler=DDPMScheduler.from_pretrained(folder / "scheduler"),
            source=base,
        )
        unet.requires_grad_(True)
        self.model.text_encoders.requires_grad_(text_encoder_learning_rate is not None)

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """Encode, draw timesteps, add noise, predict, compare with the target."""
        size = len(batch["caption"])
        number = self.global_step * self.trainer.world_size + self.global_rank
        draws = counter_rand((size,), self.seed, Stream.CAPTION_DROPOUT, 0, [number])[0]
        captions = [
            caption if draw >= self.caption_dropout else ""
            for caption, draw in zip(batch["caption"], draws, strict=True)
        ]
        loss = self._losses(batch["pixel_values"], captions, 0, number).mean()
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        """Measure the loss at noise and timesteps that never change."""
        size = len(batch["caption"])
        loss = self._losses(batch["pixel_values"], batch["caption"], 1, batch_idx)
        self.log("val/loss", loss.mean(), batch_size=size)

    def generate(self, prompts: list[str], seeds: list[int], guidance_scale: float) -> Tensor:
        """Draw pictures in 25 steps.

        Args:
            prompts: B texts.
            seeds: One seed per prompt.
            guidance_scale: Strength of classifier-free guidance.

        Returns:
            (B, 3, 64, 64) in [0, 1].
        """
        return sample(self.model, prompts, seeds=seeds, guidance_scale=guidance_scale)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with a trapezoid schedule."""
        groups: list[dict[str, Any]] = [{"params": list(self.model.unet.parameters())}]
        if self.text_encoder_learning_rate is not None:
            text_encoder = list(self.model.text_encoders.parameters())
            groups.append({"params": text_encoder, "lr": self.text_encoder_learning_rate})
        return adamw_with_decay(
            groups,
            self.learning_rate,
            int(self.trainer.estimated_stepping_batches),
            warmup_steps=200,
        )

    def _losses(self, pixel_values: Tensor, captions: list[str], epoch: int, number: int) -> Tensor:
        """Return each sample's loss, (B,); draws follow from the epoch and the batch's number."""
        model, device, size = self.model, pixel_values.device, len(captions)
        with torch.no_grad():
            moments = model.encode_images(pixel_values)
        conditioning = model.encode_prompts(captions)
        shape = (size, model.latent_channels, *moments.shape[2:])
        steps = model.num_train_timesteps
        # one generator for a batch: one for each of hundreds of samples would keep a GPU waiting
        counters = (epoch, [number])
        posterior_noise = counter_randn(shape, self.seed, Stream.POSTERIOR, *counters)[0].to(device)
        noise = counter_randn(shape, self.seed, Stream.NOISE, *counters)[0].to(device)
        timesteps = _stratified(counter_rand((1,), self.seed, Stream.TIMESTEP, *counters)[0], size)
        timesteps = timesteps.mul(steps).long().to(device)
        latents = model.latents_from_moments(moments, posterior_noise)
        noisy_latents = add_noise(latents, noise, timesteps, model.alphas_cumprod)
        model_pred = model(noisy_latents, timesteps, conditioning)
        target = training_target(
            latents, noise, timesteps, model.alphas_cumprod, model.prediction_type
        )
        return diffusion_loss(model_pred, target)


def _stratified(offset: Tensor, count: int) -> Tensor:
    """Spread one draw from [0, 1) to `count`, one in each equal part of [0, 1).

    The loss varies more with the timestep than with anything else, so batches that cover the
    timesteps evenly have quieter gradients (Kingma et al., "Variational Diffusion Models", 2021).
    """
    return (torch.arange(count) + offset) / count


def _unet(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    block_out_channels: tuple[int, int, int],
    head_dim: int,
    seed: int,
) -> UNet2DConditionModel:
    latent_channels = vae.config["latent_channels"]
    halvings = len(vae.config["block_out_channels"]) - 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet: UNet2DConditionModel = UNet2DConditionModel(
            sample_size=vae.config["sample_size"] // 2**halvings,
            in_channels=latent_channels,
            out_channels=latent_channels,
            layers_per_block=1,
            block_out_channels=block_out_channels,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=text_encoder.config.hidden_size,
            # diffusers' name for the number of heads
            attention_head_dim=tuple(channels // head_dim for channels in block_out_channels),
            norm_num_groups=16,
        )
    # 16 or 64 tokens: on a CPU the fused attention's backward takes longer than the plain one's
    unet.set_attn_processor(AttnProcessor())
    return unet
