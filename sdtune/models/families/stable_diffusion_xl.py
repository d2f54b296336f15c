"""Stable Diffusion XL: two CLIP text encoders, and a UNet that is also told of sizes and crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from sdtune.functional import copied_to
from sdtune.models.conditioning import Conditioning
from sdtune.models.families.family import Family, check_clip_skip

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

__all__ = ["StableDiffusionXLFamily"]

_ZEROS_FOR_EMPTY = "force_zeros_for_empty_prompt"

# the height and width of the original, the crop's top and left, the height and width of the target
_TOLD_SIZES = 6

# where the configurations of the published text encoders name the end of a prompt wrongly
_WRONG_END = 2


class StableDiffusionXLFamily(Family):
    """Stable Diffusion XL (Podell et al. 2023, https://arxiv.org/abs/2307.01952), without refiner.

    The UNet attends to the last layer but one of both text encoders, side by side, without their
    final norms. Beside that it is told the second encoder's pooled output, and of each picture its
    original size, the corner where it was cut out and the size it was cut to.
    """

    name = "Stable Diffusion XL"
    pipeline_name = "StableDiffusionXLPipeline"
    pipeline_options: ClassVar[Mapping[str, Any]] = {"add_watermarker": False}
    pipeline_settings = (_ZEROS_FOR_EMPTY,)
    text_encoder_names = ("text_encoder", "text_encoder_2")
    tokenizer_names = ("tokenizer", "tokenizer_2")
    single_file_parts: ClassVar[Mapping[str, str]] = {
        "model.diffusion_model.": "the UNet",
        "first_stage_model.": "the VAE",
        "conditioner.embedders.0.transformer.": "the first text encoder of Stable Diffusion XL",
        "conditioner.embedders.1.model.": "the second text encoder of Stable Diffusion XL",
    }

    def prepare(
        self,
        unet: UNet2DConditionModel,
        text_encoders: Sequence[CLIPTextModel],
        tokenizers: Sequence[CLIPTokenizer],
    ) -> None:
        """Refuse the refiner, and find the end of a prompt where a new word stands in it.

        The published second encoder names a wrong token for the end, and transformers then takes
        the highest id for it. A learned word's is higher: the pooled output would be the word's.
        kohya's trainer, ComfyUI and A1111 read it at the end, and so does this.

        Args:
            unet: The denoising network.
            text_encoders: Two.
            tokenizers: Two.

        Raises:
            ValueError: If the UNet is the refiner's.
        """
        told = int(unet.config["projection_class_embeddings_input_dim"] or 0)
        told -= int(text_encoders[-1].config.projection_dim or 0)
        if told != _TOLD_SIZES * int(unet.config["addition_time_embed_dim"] or 0):
            raise ValueError(
                "Expected the UNet of Stable Diffusion XL's base, which is told two text encoders' "
                "outputs and three sizes of a picture, but got another, such as the refiner's: "
                "fine-tune `stabilityai/stable-diffusion-xl-base-1.0` or a model made from it; a "
                "refiner can follow it as before."
            )
        for module in text_encoders[-1].modules():
            if getattr(module, "eos_token_id", None) == _WRONG_END:
                module.eos_token_id = tokenizers[-1].eos_token_id

    def encode(
        self, text_encoders: Sequence[CLIPTextModel], token_ids: Sequence[Tensor], clip_skip: int
    ) -> Conditioning:
        """Encode tokenized prompts by both text encoders.

        Args:
            text_encoders: A CLIPTextModel and a CLIPTextModelWithProjection.
            token_ids: (B, L) int64 for each.
            clip_skip: Which layer's output is used: 1 the last but one, 2 the one before it, …;
                diffusers counts them from 0. The pooled output is the last layer's at any.

        Returns:
            B prompts: hidden states (B, L, D1 + D2), and `text_embeds` (B, P).

        Raises:
            ValueError: If `clip_skip` is not one of the layers.
        """
        check_clip_skip(clip_skip, text_encoders, from_last=1)
        outputs: list[Any] = [
            text_encoder(copied_to(ids, text_encoder.device), output_hidden_states=True)
            for text_encoder, ids in zip(text_encoders, token_ids, strict=True)
        ]
        hidden_states = torch.cat([each.hidden_states[-1 - clip_skip] for each in outputs], dim=-1)
        return Conditioning(hidden_states, {"text_embeds": outputs[-1].text_embeds})

    def text_layers(self, text_encoders: Sequence[CLIPTextModel], clip_skip: int) -> list[int]:
        """Count the layers that reach the UNet: the second encoder's last does as pooled output."""
        first, second = (int(each.config.num_hidden_layers) for each in text_encoders)
        return [max(1, first - clip_skip), second]

    def empty_negative(self, encoded: Conditioning, settings: Mapping[str, Any]) -> Conditioning:
        """Give zeros for an empty negative prompt where the base was made so."""
        if not settings.get(_ZEROS_FOR_EMPTY, True):
            return encoded
        return Conditioning(
            torch.zeros_like(encoded.encoder_hidden_states),
            {name: torch.zeros_like(value) for name, value in encoded.added_cond_kwargs.items()},
        )

    def picture_inputs(
        self, batch: Mapping[str, Any], latents: Tensor, vae_scale_factor: int
    ) -> dict[str, Tensor]:
        """Tell the UNet the sizes of the pictures.

        Args:
            batch: With `original_size`, `crop_top_left` and `target_size` of B pictures, two
                numbers of pixels each, the vertical one first. Without them the pictures are taken
                for whole ones of the latents' size.
            latents: (B, C, h, w).
            vae_scale_factor: Pixels per latent, along either side.

        Returns:
            `time_ids` (B, 6) float32, in pixels.
        """
        size = [[side * vae_scale_factor for side in latents.shape[-2:]]] * len(latents)
        parts = [
            batch.get("original_size", size),
            batch.get("crop_top_left", [[0, 0]] * len(latents)),
            batch.get("target_size", size),
        ]
        pairs = [torch.as_tensor(each, dtype=torch.float32) for each in parts]  # 3 x (B, 2)
        time_ids = torch.cat(pairs, dim=1)  # (B, 6)
        return {"time_ids": copied_to(time_ids, latents.device)}

    def call_arguments(
        self, prompts: Conditioning, negative: Conditioning | None, height: int, width: int
    ) -> dict[str, Any]:
        """Name the hidden states, the pooled outputs and the size, which is drawn uncropped.

        Args:
            prompts: B prompts.
            negative: B negative prompts, or None.
            height: Pixels.
            width: Pixels.

        Returns:
            Arguments of the pipeline by name.
        """
        arguments: dict[str, Any] = {
            "prompt_embeds": prompts.encoder_hidden_states,
            "pooled_prompt_embeds": prompts.added_cond_kwargs["text_embeds"],
            "original_size": (height, width),
            "crops_coords_top_left": (0, 0),
            "target_size": (height, width),
        }
        if negative is not None:
            arguments["negative_prompt_embeds"] = negative.encoder_hidden_states
            arguments["negative_pooled_prompt_embeds"] = negative.added_cond_kwargs["text_embeds"]
        return arguments
