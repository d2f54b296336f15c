"""A CLIP and a DINO of random weights, 64 px, with the files that real ones come with."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.random_weights import draw_saved_weights, draw_weights

__all__ = ["make_tiny_clip", "make_tiny_dino", "random_images"]

_GAIN = 2.0  # different pictures give different vectors
_WIDTHS = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def make_tiny_clip(folder: Path, tokenizer: Path) -> Path:
    """Write a `CLIPModel`, its image processor and the tokenizer of a folder."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

    words = CLIPTokenizer.from_pretrained(tokenizer)
    text = {
        **_WIDTHS,
        "vocab_size": len(words),
        "max_position_embeddings": words.model_max_length,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }
    vision = {**_WIDTHS, "image_size": 64, "patch_size": 16}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    draw_weights(clip, gain=_GAIN)
    clip.save_pretrained(folder)
    words.save_pretrained(folder)
    CLIPImageProcessorPil(size={"shortest_edge": 64}, crop_size=64).save_pretrained(folder)
    return folder


def make_tiny_dino(folder: Path) -> Path:
    """Write a `ViTModel` without a pooler, as DINO's are, and its image processor."""
    from transformers import ViTConfig, ViTImageProcessorPil, ViTModel

    config = ViTConfig(**_WIDTHS, image_size=64, patch_size=16)
    dino = ViTModel(config, add_pooling_layer=False)
    dino.save_pretrained(folder)
    draw_saved_weights(folder / "model.safetensors", gain=_GAIN)
    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def random_images(count: int, seed: int, size: int = 64) -> torch.Tensor:
    """Draw soft random pictures, (B, 3, H, W) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator)
    soft = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    return (255 * soft).round() / 255  # what a file can hold
