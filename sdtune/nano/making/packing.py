"""From the checkpoints of nano's trainings to folders that diffusers and transformers load."""

import json
import shutil
from pathlib import Path
from typing import Any, TypeVar, cast

import lightning as L
import torch
from diffusers import AutoencoderKL, DDPMScheduler, ModelMixin
from torch import Tensor, nn
from transformers import (
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    PreTrainedModel,
)

from sdtune.models.older_names import name_for_older_releases
from sdtune.nano.making.autoencoder import NanoAutoencoderModule
from sdtune.nano.making.clip import NanoCLIPModule
from sdtune.nano.making.denoiser import NanoDenoiserModule
from sdtune.nano.making.scene_data import SceneDataset
from sdtune.nano.making.scenes import SceneComposer
from sdtune.nano.making.sprites import SpriteBook

__all__ = ["latent_scale", "pack_base", "pack_clip", "pack_unet"]

M = TypeVar("M", bound=L.LightningModule)

_MODEL_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.35.0",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDPMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


@torch.no_grad()
def latent_scale(vae: AutoencoderKL, sprites: Path, scenes: int = 512) -> float:
    """Measure the factor that brings latents to a standard deviation of 1.

    Args:
        vae: The trained autoencoder.
        sprites: Sprite file that scenes are drawn from.
        scenes: Number of scenes to measure on.

    Returns:
        One over the standard deviation of the posteriors' means, for `scaling_factor`.
    """
    composer = SceneComposer(SpriteBook(sprites), seed=2)
    batches = SceneDataset(composer, vae.config["sample_size"], 64, stop=scenes)
    latents = [vae.encode(batch["pixel_values"]).latent_dist.mode() for batch in batches]
    return 1.0 / float(torch.cat(latents).std())


def pack_base(
    vae_checkpoint: Path, clip_checkpoint: Path, tokenizer: Path, sprites: Path, folder: Path
) -> None:
    """Write everything of a Stable Diffusion folder but the UNet.

    Args:
        vae_checkpoint: Checkpoint of `NanoAutoencoderModule`.
        clip_checkpoint: Checkpoint of `NanoCLIPModule`, whose text encoder is taken.
        tokenizer: Folder of nano's tokenizer.
        sprites: Sprite file, to measure the scale of the latents.
        folder: Where to write; its parts of the same names are replaced.
    """
    vae = _module(NanoAutoencoderModule, vae_checkpoint).vae.eval()
    vae.register_to_config(scaling_factor=round(latent_scale(vae, sprites), 4))
    clip = _module(NanoCLIPModule, clip_checkpoint, tokenizer=str(tokenizer)).clip
    text_encoder = CLIPTextModel(cast(CLIPTextConfig, clip.config.text_config))
    text_encoder.load_state_dict(_text_weights(clip, text_encoder))
    _save_half(vae, folder / "vae")
    _save_text_encoder(text_encoder, folder / "text_encoder")
    # copied and not saved anew: transformers 5 leaves out CLIP's own vocab.json and merges.txt
    shutil.copytree(tokenizer, folder / "tokenizer", dirs_exist_ok=True)
    # SD 1's betas, rescaled to zero terminal SNR: without it the colour of a small picture's
    # background shines through the noise of the last timestep in training, but not in sampling
    DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        steps_offset=1,
        timestep_spacing="trailing",
    ).save_pretrained(folder / "scheduler")
    index = json.dumps(_MODEL_INDEX, indent=2)
    (folder / "model_index.json").write_text(index + "\n", encoding="utf-8")


def pack_unet(checkpoint: Path, folder: Path) -> None:
    """Add the UNet to a folder made by `pack_base`, and the text encoder that learned with it.

    Args:
        checkpoint: Checkpoint of `NanoDenoiserModule`; averaged weights if it holds any.
        folder: The Stable Diffusion folder, as `pack_base` wrote it.
    """
    module = _module(NanoDenoiserModule, checkpoint, base=str(folder))
    _save_half(module.model.unet, folder / "unet")
    if module.text_encoder_learning_rate is not None:
        text_encoder = cast(CLIPTextModel, module.model.text_encoders[0])
        _save_text_encoder(text_encoder, folder / "text_encoder")


def pack_clip(clip_checkpoint: Path, tokenizer: Path, folder: Path) -> None:
    """Write a whole CLIP with its tokenizer and how it wants pictures, as transformers loads it.

    Args:
        clip_checkpoint: Checkpoint of `NanoCLIPModule`.
        tokenizer: Folder of nano's tokenizer.
        folder: Where to write.
    """
    clip = _module(NanoCLIPModule, clip_checkpoint, tokenizer=str(tokenizer)).clip
    _save_half(clip, folder)
    CLIPTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    size = cast(Any, clip.config.vision_config).image_size
    # trained on pictures in [-1, 1]
    CLIPImageProcessorPil(
        size={"shortest_edge": size},
        crop_size=size,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    ).save_pretrained(folder)


def _module(module_class: type[M], checkpoint: Path, **overrides: Any) -> M:
    return module_class.load_from_checkpoint(
        checkpoint, map_location="cpu", weights_only=True, **overrides
    )


def _text_weights(clip: CLIPModel, text_encoder: CLIPTextModel) -> dict[str, Tensor]:
    """Return CLIP's text weights by the names that CLIPTextModel gives them."""
    weights = clip.text_model.state_dict()
    names = set(text_encoder.state_dict())
    return weights if set(weights) == names else {f"text_model.{k}": v for k, v in weights.items()}


def _save_text_encoder(text_encoder: CLIPTextModel, folder: Path) -> None:
    _save_half(text_encoder, folder)
    name_for_older_releases(folder)


def _save_half(module: ModelMixin | PreTrainedModel, folder: Path) -> None:
    weights: nn.Module = module
    weights.half()
    module.save_pretrained(folder, safe_serialization=True)
    weights.float()
    if isinstance(module, PreTrainedModel):
        # transformers loads in the type that the configuration names, diffusers in float32: parts
        # that were saved in half precision would not fit together in a pipeline
        module.config.dtype = torch.float32
        module.config.save_pretrained(folder)
