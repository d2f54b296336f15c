"""Stable Diffusion of random weights, in SD 1.4's and SDXL's layouts at reduced width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.random_weights import draw_weights

__all__ = [
    "make_micro_sd",
    "make_noise_scheduler",
    "make_tiny_sd",
    "make_tiny_xl",
    "make_tokenizer",
    "save_sd",
]


def make_tiny_sd(
    folder: str | Path,
    prediction_type: str = "epsilon",
    seed: int = 0,
    *,
    zero_terminal_snr: bool = False,
) -> Path:
    """Write a model of random weights in diffusers' layout.

    Blocks, layers and names are SD 1.4's, so that its adapters' keys are these too: four UNet
    blocks of two layers, twelve text layers, a VAE of factor 8. Widths are a twentieth of it, and
    pictures are 64 px.

    Args:
        folder: Where to write; made if absent.
        prediction_type: What the UNet is said to predict.
        seed: Seed of the weights.
        zero_terminal_snr: Whether the noise schedule ends in pure noise.

    Returns:
        The folder.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    tokenizer = make_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32, 64, 64),
        layers_per_block=2,
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=8,
    )
    vae = AutoencoderKL(
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=2,
        norm_num_groups=4,
    )
    text_encoder = _make_text_encoder(tokenizer)
    for module in (unet, vae, text_encoder):
        draw_weights(module, seed)
    noise_scheduler = make_noise_scheduler(prediction_type, zero_terminal_snr)
    return save_sd(folder, unet, vae, text_encoder, tokenizer, noise_scheduler)


def make_tiny_xl(
    folder: str | Path,
    seed: int = 0,
    *,
    zeros_for_empty: bool = True,
    transformer_layers: tuple[int, int, int] = (1, 2, 3),
) -> Path:
    """Write a Stable Diffusion XL of random weights in diffusers' layout.

    Blocks and names are SDXL's: three UNet blocks of two layers, of which the first has no
    attention, and two text encoders, whose second one names a wrong end token and pads with
    another token than the first, as published. Of its 1, 2 and 10 transformer layers there are 1,
    2 and 3, and of 12 and 32 text layers 3 and 4. Pictures are 64 px.

    Args:
        folder: Where to write; made if absent.
        seed: Seed of the weights.
        zeros_for_empty: Whether an empty negative prompt is zeros.
        transformer_layers: Of each block, from the outermost.

    Returns:
        The folder.
    """
    from diffusers import (
        AutoencoderKL,
        EulerDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )

    parts = {
        "unet": UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(16, 32, 64),
            layers_per_block=2,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=transformer_layers,
            attention_head_dim=(2, 4, 4),
            cross_attention_dim=16 + 32,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 24,
            norm_num_groups=8,
        ),
        "vae": AutoencoderKL(
            sample_size=64,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            block_out_channels=(8, 16, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            scaling_factor=0.13025,
        ),
        "text_encoder": _make_text_encoder(make_tokenizer(), width=16, layers=3),
        "text_encoder_2": _make_projecting_encoder(make_tokenizer(), width=32, layers=4),
    }
    for module in parts.values():
        draw_weights(module, seed)
    pipeline = StableDiffusionXLPipeline(
        **parts,
        tokenizer=make_tokenizer(),
        tokenizer_2=make_tokenizer(pad_token="!"),
        scheduler=EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            steps_offset=1,
            timestep_spacing="leading",
        ),
        force_zeros_for_empty_prompt=zeros_for_empty,
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return Path(folder)


def make_micro_sd(folder: str | Path, seed: int = 0) -> Path:
    """Write a model of random weights with one layer of each kind, for tests that train often.

    It is loaded in a tenth of the time of `make_tiny_sd`'s, and its adapters' keys are not SD's:
    attention is in the UNet's only block downwards and in the middle.

    Args:
        folder: Where to write; made if absent.
        seed: Seed of the weights.

    Returns:
        The folder.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    tokenizer = make_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("UpBlock2D",),
        block_out_channels=(8,),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
    vae = AutoencoderKL(
        sample_size=64,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4,) * 4,
        layers_per_block=1,
        norm_num_groups=2,
    )
    text_encoder = _make_text_encoder(tokenizer, width=16, layers=2)
    for module in (unet, vae, text_encoder):
        draw_weights(module, seed)
    noise_scheduler = make_noise_scheduler("epsilon", False)
    return save_sd(folder, unet, vae, text_encoder, tokenizer, noise_scheduler)


def save_sd(
    folder: str | Path,
    unet: Any,
    vae: Any,
    text_encoder: Any,
    tokenizer: Any,
    noise_scheduler: Any,
) -> Path:
    """Write the parts of a model in diffusers' layout.

    Args:
        folder: Where to write; made if absent.
        unet: A UNet2DConditionModel.
        vae: An AutoencoderKL.
        text_encoder: A CLIPTextModel.
        tokenizer: A CLIPTokenizer.
        noise_scheduler: Any of diffusers' schedulers.

    Returns:
        The folder.
    """
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=noise_scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return Path(folder)


def make_tokenizer(pad_token: str = "<|endoftext|>") -> Any:
    """Make a CLIP tokenizer of single bytes: every text has ids, and no two share them.

    Args:
        pad_token: What prompts are filled up with.

    Returns:
        A CLIPTokenizer of 514 tokens.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    pieces = [
        *letters,
        *(f"{letter}</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77, pad_token=pad_token)


def _make_text_encoder(tokenizer: Any, width: int = 32, layers: int = 12) -> Any:
    from transformers import CLIPTextModel

    return CLIPTextModel(_make_text_config(tokenizer, width, layers))


def _make_projecting_encoder(tokenizer: Any, width: int, layers: int) -> Any:
    from transformers import CLIPTextModelWithProjection

    config = _make_text_config(
        tokenizer, width, layers, hidden_act="gelu", projection_dim=24, eos_token_id=2
    )
    return CLIPTextModelWithProjection(config)


def _make_text_config(tokenizer: Any, width: int, layers: int, **others: Any) -> Any:
    from transformers import CLIPTextConfig

    values = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "projection_dim": width,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return CLIPTextConfig(**{**values, **others})


def make_noise_scheduler(prediction_type: str, zero_terminal_snr: bool) -> Any:
    """Make SD 1.4's noise schedule.

    Args:
        prediction_type: What the UNet is said to predict.
        zero_terminal_snr: Whether it ends in pure noise.

    Returns:
        One of diffusers' schedulers.
    """
    from diffusers import DDIMScheduler, PNDMScheduler

    schedule: dict[str, Any] = {
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "prediction_type": prediction_type,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }
    if zero_terminal_snr:
        return DDIMScheduler(**schedule, clip_sample=False, rescale_betas_zero_snr=True)
    return PNDMScheduler(**schedule, skip_prk_steps=True)
