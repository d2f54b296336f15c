"""nano's VAE and its training."""

from inspect import currentframe

import lightning as L
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from sdtune.nano.making.scene_data import SceneBatch
from sdtune.nano.making.schedule import adamw_with_decay

__all__ = ["NanoAutoencoderModule", "laplacian", "psnr"]


def laplacian(images: Tensor) -> Tensor:
    """Return the discrete Laplacian of each channel: edges and corners.

    Args:
        images: (B, C, H, W).

    Returns:
        (B, C, H - 2, W - 2).
    """
    kernel = images.new_tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    channels = images.shape[1]
    weight = kernel.expand(channels, 1, 3, 3)
    return F.conv2d(images, weight, groups=channels)


def psnr(images: Tensor, target: Tensor) -> Tensor:
    """Return each image's peak signal-to-noise ratio in dB.

    Args:
        images: (B, C, H, W) in [-1, 1].
        target: the same shape and range.

    Returns:
        (B,).
    """
    squared_error = (images.clamp(-1, 1) - target).square().mean(dim=(1, 2, 3))
    return 10 * torch.log10(4 / squared_error.clamp(min=1e-10))


class NanoAutoencoderModule(L.LightningModule):
    """Trains an AutoencoderKL of factor 4 on scenes.

    The loss is L1, plus half the L1 of the Laplacians, which keeps thin lines, plus the KL
    divergence of the posterior from a normal distribution.

    Args:
        learning_rate: AdamW's rate on the plateau.
        kl_weight: weight of the KL divergence, averaged over latent elements.
        block_out_channels: channels at 64, 32 and 16 px.
        latent_channels: channels of the latents.
        seed: seed of the initial weights and of the posterior's noise.
    """

    def __init__(
        self,
        learning_rate: float = 2e-3,
        kl_weight: float = 1e-3,
        block_out_channels: tuple[int, int, int] = (16, 32, 64),
        latent_channels: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(frame=currentframe())  # else Lightning keeps it
        self.learning_rate = learning_rate
        self.kl_weight = kl_weight
        self.seed = seed
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.vae = AutoencoderKL(
                down_block_types=("DownEncoderBlock2D",) * 3,
                up_block_types=("UpDecoderBlock2D",) * 3,
                block_out_channels=block_out_channels,
                layers_per_block=1,
                latent_channels=latent_channels,
                norm_num_groups=8,
                sample_size=64,
            ).to(memory_format=torch.channels_last)

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """Reconstruct from a sampled latent."""
        pixel_values = batch["pixel_values"]
        posterior = self.vae.encode(pixel_values).latent_dist
        generator = torch.Generator(pixel_values.device).manual_seed(
            self.seed * 1_000_003 + self.global_step
        )
        images = self.vae.decode(posterior.sample(generator)).sample
        reconstruction = F.l1_loss(images, pixel_values)
        edges = F.l1_loss(laplacian(images), laplacian(pixel_values))
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        loss: Tensor = reconstruction + 0.5 * edges + self.kl_weight * kl
        self.log_dict({"train/loss": loss, "train/l1": reconstruction, "train/kl": kl})
        return loss

    def validation_step(self, batch: SceneBatch, batch_idx: int) -> None:
        """Measure PSNR from the posterior's mode."""
        pixel_values = batch["pixel_values"]
        latents = self.vae.encode(pixel_values).latent_dist.mode()
        images = self.vae.decode(latents).sample
        size = len(pixel_values)
        self.log("val/psnr", psnr(images, pixel_values).mean(), batch_size=size, prog_bar=True)
        self.log("val/latent_std", latents.std(), batch_size=size)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Return AdamW with a trapezoid schedule."""
        return adamw_with_decay(
            self.vae.parameters(), self.learning_rate, int(self.trainer.estimated_stepping_batches)
        )
