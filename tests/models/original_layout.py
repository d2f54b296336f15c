"""A writer of the original Stable Diffusion layout, for tests of its reader."""

from __future__ import annotations

import re

from torch import Tensor

from sdtune.models import StableDiffusion

__all__ = ["original_state_dict"]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def original_state_dict(model: StableDiffusion) -> dict[str, Tensor]:
    """Rename a Stable Diffusion 1 of two layers per block to CompVis's keys."""
    unet = {_unet_key(name): weight for name, weight in model.unet.state_dict().items()}
    vae = dict(_vae_item(name, weight) for name, weight in model.vae.state_dict().items())
    text_encoder = {
        "text_model." + name.removeprefix("text_model."): weight
        for name, weight in model.text_encoders[0].state_dict().items()
    }
    return {
        prefix + name: weight.contiguous()
        for prefix, part in (
            ("model.diffusion_model.", unet),
            ("first_stage_model.", vae),
            ("cond_stage_model.transformer.", text_encoder),
        )
        for name, weight in part.items()
    }


def _unet_key(name: str) -> str:
    for new, old in _UNET_ENDS.items():
        if name.startswith(new + "."):
            return name.replace(new, old)
    if ".resnets." in name:
        for new, old in _RESNET.items():
            name = name.replace(f".{new}.", f".{old}.")
    match = re.match(r"(down|mid|up)_blocks?\.(?:(\d)\.)?(\w+)\.(\d)\.(.*)", name)
    assert match is not None, name
    side, block, kind, layer, rest = match.groups()
    if side == "mid":
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(layer)}.{rest}"
    number = 3 * int(block) + int(layer)
    if kind == "downsamplers":
        return f"input_blocks.{3 * int(block) + 3}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{3 * int(block) + 2}.{1 if block == '0' else 2}.{rest}"
    place = 1 if kind == "attentions" else 0
    if side == "down":
        return f"input_blocks.{number + 1}.{place}.{rest}"
    return f"output_blocks.{number}.{place}.{rest}"


def _vae_item(name: str, weight: Tensor) -> tuple[str, Tensor]:
    if ".attentions." in name:
        for new, old in _VAE_ATTENTION.items():
            name = name.replace(f".{new}.", f".{old}.")
        weight = weight[..., None, None] if weight.ndim == 2 else weight  # linear -> 1x1 conv
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d)\.resnets", lambda m: f"up.{3 - int(m[1])}.block", name)
    name = re.sub(r"up_blocks\.(\d)\.upsamplers\.0", lambda m: f"up.{3 - int(m[1])}.upsample", name)
    return name, weight
