"""A model of random weights whose parts cost, beside each other, what those of SD 1.4 cost."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.tiny_models import make_tokenizer, save_sd

__all__ = ["TABLE", "make_proportioned_sd"]

TABLE = (49_408, 768)
"""Rows and width of SD 1's table of token embeddings, which is not scaled down."""


def make_proportioned_sd(folder: str | Path, seed: int = 0) -> Path:
    """Write a small Stable Diffusion for 256 px, in diffusers' layout.

    GFLOP for each picture of SD 1.4 at 512 px, as torch's `FlopCounterMode` counts them: UNet
    forwards and backwards to the prompt 1669, VAE encoding 1117, text encoder forwards 13. Here,
    at 256 px: 11.8, 7.7 and 0.5, so that the VAE has SD's share (0.65 of the UNet, 0.67 there) and
    the text encoder more than its own. The table of embeddings has SD's size, and weighs more
    beside so small a UNet than beside SD's: what it costs is to be read apart.

    Args:
        folder: Where to write; made if absent.
        seed: Seed of the weights.

    Returns:
        The folder.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    tokenizer = make_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=32,
            block_out_channels=(48, 96, 192, 192),
            cross_attention_dim=TABLE[1],
            attention_head_dim=8,
            norm_num_groups=16,
        )
        vae = AutoencoderKL(
            sample_size=256,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(24, 48, 64, 64),
            layers_per_block=2,
            norm_num_groups=8,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=TABLE[0],
                hidden_size=TABLE[1],
                intermediate_size=TABLE[1],
                num_hidden_layers=1,
                num_attention_heads=12,
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
    noise_scheduler = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
    )
    return save_sd(folder, unet, vae, text_encoder, tokenizer, noise_scheduler)
