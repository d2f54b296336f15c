"""Stable Diffusion 1 and 2: one CLIP text encoder, and a UNet that is told its hidden states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from sdtune.functional import copied_to
from sdtune.models.conditioning import Conditioning
from sdtune.models.families.family import Family, check_clip_skip

if TYPE_CHECKING:
    from transformers import CLIPTextModel

__all__ = ["StableDiffusionFamily"]


class StableDiffusionFamily(Family):
    """Stable Diffusion 1 and 2 (Rombach et al. 2022, https://arxiv.org/abs/2112.10752)."""

    name = "Stable Diffusion 1 or 2"
    pipeline_name = "StableDiffusionPipeline"
    pipeline_options: ClassVar[Mapping[str, Any]] = {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }
    text_encoder_names = ("text_encoder",)
    tokenizer_names = ("tokenizer",)
    single_file_parts: ClassVar[Mapping[str, str]] = {
        "model.diffusion_model.": "the UNet",
        "first_stage_model.": "the VAE",
        "cond_stage_model.": "the text encoder of Stable Diffusion 1 or 2",
    }

    def encode(
        self, text_encoders: Sequence[CLIPTextModel], token_ids: Sequence[Tensor], clip_skip: int
    ) -> Conditioning:
        """Encode tokenized prompts; the final layer norm is applied to any layer.

        So do A1111 and diffusers, which counts layers from 0.

        Args:
            text_encoders: One CLIPTextModel.
            token_ids: (B, L) int64 for it.
            clip_skip: Which layer's output is used: 1 the last, 2 the last but one, ….

        Returns:
            B prompts, without extra inputs.

        Raises:
            ValueError: If `clip_skip` is not one of the layers.
        """
        check_clip_skip(clip_skip, text_encoders)
        text_encoder, ids = text_encoders[0], token_ids[0]
        output = text_encoder(copied_to(ids, text_encoder.device), output_hidden_states=True)
        # transformers 5.6 took the `text_model` level out of CLIPTextModel
        final_layer_norm = getattr(text_encoder, "text_model", text_encoder).final_layer_norm
        return Conditioning(final_layer_norm(output.hidden_states[-clip_skip]))

    def call_arguments(
        self, prompts: Conditioning, negative: Conditioning | None, height: int, width: int
    ) -> dict[str, Any]:
        """Name the hidden states; the size is that of the noise.

        Args:
            prompts: B prompts.
            negative: B negative prompts, or None.
            height: Not used.
            width: Not used.

        Returns:
            `prompt_embeds` and, with guidance, `negative_prompt_embeds`.
        """
        arguments = {"prompt_embeds": prompts.encoder_hidden_states}
        if negative is not None:
            arguments["negative_prompt_embeds"] = negative.encoder_hidden_states
        return arguments
