"""A family that sdtune does not know, written outside of it: a relative of Stable Diffusion XL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import torch
from diffusers import StableDiffusionXLPipeline
from torch import Tensor, nn

from sdtune.models import Conditioning, Family, register_family
from sdtune.models.families import check_clip_skip, registry
from tests.random_weights import draw_weights
from tests.tiny_models import make_noise_scheduler, make_tokenizer

__all__ = ["ToyXLFamily", "ToyXLPipeline", "make_toy_xl", "registered"]


class ToyXLPipeline(StableDiffusionXLPipeline):
    """A pipeline of its own, which bases name in their model_index.json."""


class ToyXLFamily(Family):
    """Two text encoders, a pooled embedding from the prompt, and sizes from the picture."""

    name = "toy Stable Diffusion XL"
    pipeline_name = "ToyXLPipeline"
    pipeline_options: ClassVar[Mapping[str, Any]] = {"add_watermarker": False}
    text_encoder_names = ("text_encoder", "text_encoder_2")
    tokenizer_names = ("tokenizer", "tokenizer_2")
    single_file_parts: ClassVar[Mapping[str, str]] = {
        "model.diffusion_model.": "the UNet",
        "first_stage_model.": "the VAE",
        "toy.embedders.0.": "the first text encoder",
        "toy.embedders.1.": "the second text encoder",
    }

    def pipeline_class(self) -> type[ToyXLPipeline]:
        return ToyXLPipeline

    def encode(
        self, text_encoders: Sequence[nn.Module], token_ids: Sequence[Tensor], clip_skip: int
    ) -> Conditioning:
        check_clip_skip(clip_skip, text_encoders)
        outputs = [
            encoder(ids.to(encoder.device), output_hidden_states=True)
            for encoder, ids in zip(text_encoders, token_ids, strict=True)
        ]
        # trained on the last layer but one, without the final norm
        hidden_states = [output.hidden_states[-1 - clip_skip] for output in outputs]
        return Conditioning(torch.cat(hidden_states, -1), {"text_embeds": outputs[-1].text_embeds})

    def picture_inputs(
        self, batch: Mapping[str, Any], latents: Tensor, vae_scale_factor: int
    ) -> dict[str, Tensor]:
        height, width = (side * vae_scale_factor for side in latents.shape[-2:])
        size = torch.tensor([height, width]).expand(len(latents), 2)
        crop = torch.zeros(len(latents), 2)
        parts = [batch.get("original_size", size), batch.get("crop_top_left", crop), size]
        pairs = [torch.as_tensor(each).to(latents) for each in parts]  # 3 x (B, 2)
        return {"time_ids": torch.cat(pairs, dim=1)}  # (B, 6)

    def call_arguments(
        self, prompts: Conditioning, negative: Conditioning | None, height: int, width: int
    ) -> dict[str, Any]:
        arguments = {
            "prompt_embeds": prompts.encoder_hidden_states,
            "pooled_prompt_embeds": prompts.added_cond_kwargs["text_embeds"],
            "original_size": (height, width),
            "target_size": (height, width),
        }
        if negative is not None:
            arguments |= {
                "negative_prompt_embeds": negative.encoder_hidden_states,
                "negative_pooled_prompt_embeds": negative.added_cond_kwargs["text_embeds"],
            }
        return arguments


@contextmanager
def registered(family: Family) -> Iterator[None]:
    """Register a family, for a while."""
    register_family(family)
    try:
        yield
    finally:
        registry._FAMILIES.remove(family)


def make_toy_xl(folder: Path) -> Path:
    """Write a base of random weights, 64 px, with XL's modules at a tiny width.

    Args:
        folder: Where to write; made if absent.

    Returns:
        The folder.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    parts = {
        "unet": UNet2DConditionModel(
            sample_size=16,
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            reverse_transformer_layers_per_block=(1, 1),
            attention_head_dim=(2, 4),
            cross_attention_dim=48,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 24,
            norm_num_groups=8,
        ),
        "vae": AutoencoderKL(
            sample_size=64,
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            block_out_channels=(8, 16, 16),
            norm_num_groups=4,
        ),
        "text_encoder": CLIPTextModel(_text_config(16)),
        "text_encoder_2": CLIPTextModelWithProjection(_text_config(32)),
    }
    for module in parts.values():
        draw_weights(module)
    ToyXLPipeline(
        **parts,
        tokenizer=make_tokenizer(),
        tokenizer_2=make_tokenizer(),
        scheduler=make_noise_scheduler("epsilon", zero_terminal_snr=False),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def _text_config(width: int) -> Any:
    from transformers import CLIPTextConfig

    tokenizer = make_tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        projection_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=tokenizer.model_max_length,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
