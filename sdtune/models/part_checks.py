"""Whether the parts of a base belong together, and are of a kind that is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sdtune.models.families import Family

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

__all__ = ["check_parts"]


def check_parts(
    family: Family,
    unet: UNet2DConditionModel,
    vae: AutoencoderKL,
    text_encoders: Sequence[CLIPTextModel],
    tokenizers: Sequence[CLIPTokenizer],
    source: str,
) -> None:
    """Check the parts of a base.

    Args:
        family: Which it is said to be of.
        unet: The denoising network.
        vae: The autoencoder.
        text_encoders: The text encoders.
        tokenizers: Their tokenizers.
        source: What they were loaded from, as the user named it.

    Raises:
        ValueError: If there is not one tokenizer per text encoder, or the UNet takes more than
            noisy latents (inpainting, depth), or the parts are not the family's, or made for
            another noise schedule.
    """
    if len(text_encoders) != len(tokenizers):
        raise ValueError(
            f"Expected one tokenizer per text encoder, but got {len(tokenizers)} tokenizers "
            f"and {len(text_encoders)} text encoders."
        )
    if len(text_encoders) != len(family.text_encoder_names):
        raise ValueError(
            f"Expected {', '.join(family.text_encoder_names)} of a {family.name}, "
            f"but got {len(text_encoders)} text encoders."
        )
    if unet.config["in_channels"] != vae.config["latent_channels"]:
        raise ValueError(
            f"Expected a UNet for text to image, with {vae.config['latent_channels']} input "
            f"channels, but got one with {unet.config['in_channels']}."
        )
    if vae.config.get("latents_mean") is not None:
        raise ValueError(
            f"Expected a VAE whose latents are scaled alone, but that of {source} also has "
            "`latents_mean`: bases with it, such as Playground 2.5, are trained by another "
            "noise schedule (EDM), which sdtune does not train."
        )
