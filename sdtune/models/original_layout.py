"""A bundle's weights under the names of the original Stable Diffusion, for files of one piece.

The names are those of CompVis' and Stability's code: the UNet's blocks are numbered through, the
VAE's attention is of 1 x 1 convolutions, and OpenCLIP keeps queries, keys and values in one matrix.
diffusers' `from_single_file` reads them; `SingleFile` does so here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["model_spec", "name_as_original", "original_unet_weights", "original_weights"]

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
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
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
_OPEN_CLIP = {
    "embeddings.token_embedding": "token_embedding",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_IN_PROJECTION = re.compile(r"(.*)\.self_attn\.([qkv])_proj\.(weight|bias)")


def original_weights(model: StableDiffusion) -> dict[str, Tensor]:
    """Name a bundle's weights as a file of one piece does.

    Args:
        model: A bundle of Stable Diffusion 1, 2 or XL, without adapters.

    Returns:
        Name -> contiguous tensor, on the CPU; most share the bundle's memory.

    Raises:
        ValueError: If a weight has no name in this layout.
    """
    named = name_as_original(model.unet, model.vae, list(model.text_encoders))
    return {name: each.detach().cpu().contiguous() for name, each in named.items()}


def name_as_original(
    unet: nn.Module, vae: nn.Module, text_encoders: Collection[nn.Module]
) -> dict[str, Tensor]:
    """Name the weights of a model's parts as a file of one piece does.

    Args:
        unet: A UNet of Stable Diffusion 1, 2 or XL, without adapters.
        vae: Its VAE.
        text_encoders: Its text encoders. Any of the three may be on the meta device.

    Returns:
        Name -> tensor.

    Raises:
        ValueError: If a weight has no name in this layout.
    """
    levels = len(cast(Any, vae.config)["block_out_channels"])
    named = original_unet_weights(unet)
    for name, weight in vae.state_dict().items():
        original, tensor = _vae_item(name, weight, levels)
        named[f"first_stage_model.{original}"] = tensor
    for number, encoder in enumerate(text_encoders):
        root = "cond_stage_model" if len(text_encoders) == 1 else f"conditioner.embedders.{number}"
        named |= {f"{root}.{name}": each for name, each in _text_items(encoder)}
    return named


def original_unet_weights(unet: nn.Module) -> dict[str, Tensor]:
    """Name a UNet's weights as a file of one piece does.

    Args:
        unet: A UNet of Stable Diffusion 1, 2 or XL, without adapters; on the meta device, too.

    Returns:
        Name -> tensor.

    Raises:
        ValueError: If a weight has no name in this layout.
    """
    layers = int(cast(Any, unet).config["layers_per_block"])
    weights = unet.state_dict()
    attentive = {name.split(".")[1] for name in weights if re.match(r"up_blocks\.\d+\.att", name)}
    return {
        f"model.diffusion_model.{_unet_name(name, layers, attentive)}": weight
        for name, weight in weights.items()
    }


def model_spec(model: StableDiffusion) -> dict[str, str]:
    """Say what a file holds, as the ModelSpec standard does: what its names and shapes do not show.

    Args:
        model: A bundle.

    Returns:
        Strings for the header.
    """
    is_v = model.prediction_type == "v_prediction"
    width = int(cast(Any, model.unet.config)["cross_attention_dim"])
    architecture = {
        768: "stable-diffusion-v1",
        1024: "stable-diffusion-v2-768-v" if is_v else "stable-diffusion-v2-512",
        2048: "stable-diffusion-xl-v1-base",
    }.get(width)
    spec = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.prediction_type": "v" if is_v else "epsilon",
        "modelspec.resolution": f"{model.resolution}x{model.resolution}",
    }
    return spec | ({"modelspec.architecture": architecture} if architecture else {})


def _unet_name(name: str, layers: int, with_attention: Collection[str]) -> str:
    for new, old in _UNET_ENDS.items():
        if name.startswith(f"{new}."):
            return name.replace(new, old, 1)
    if ".resnets." in name:
        for new, old in _RESNET.items():
            name = name.replace(f".{new}.", f".{old}.")
    match = re.fullmatch(r"(down|mid|up)_blocks?\.(?:(\d+)\.)?(\w+)\.(\d+)\.(.*)", name)
    if match is None:
        raise ValueError(f"Expected a UNet of Stable Diffusion 1, 2 or XL, but it has `{name}`.")
    side, block, kind, layer, rest = match.groups()
    if side == "mid":
        return f"middle_block.{1 if kind == 'attentions' else 2 * int(layer)}.{rest}"
    number = (layers + 1) * int(block) + int(layer)
    if kind == "downsamplers":
        return f"input_blocks.{number + layers + 1}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        place = 2 if block in with_attention else 1  # behind the attention, if there is one
        return f"output_blocks.{number + layers}.{place}.{rest}"
    place = 1 if kind == "attentions" else 0
    if side == "down":
        return f"input_blocks.{number + 1}.{place}.{rest}"
    return f"output_blocks.{number}.{place}.{rest}"


def _vae_item(name: str, weight: Tensor, levels: int) -> tuple[str, Tensor]:
    if ".attentions." in name:
        for new, old in _VAE_ATTENTION.items():
            name = name.replace(f".{new}.", f".{old}.")
        weight = weight[..., None, None] if weight.ndim == 2 else weight  # (out, in, 1, 1)
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
    name = re.sub(r"down_blocks\.(\d)\.resnets", r"down.\1.block", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)

    def turned(match: re.Match[str]) -> str:
        end = "block" if match[2] == "resnets" else "upsample"
        return f"up.{levels - 1 - int(match[1])}.{end}"  # numbered from the picture

    return re.sub(r"up_blocks\.(\d)\.(resnets|upsamplers\.0)", turned, name), weight


def _text_items(encoder: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield a text encoder's weights as CLIP's own code names them, or OpenCLIP's."""
    # transformers 5.6 took the level `text_model` out of CLIPTextModel
    weights = {k.removeprefix("text_model."): each for k, each in encoder.state_dict().items()}
    is_open_clip = "text_projection.weight" in weights or _activation(encoder) != "quick_gelu"
    if not is_open_clip:
        yield from ((f"transformer.text_model.{name}", each) for name, each in weights.items())
        return
    projections: dict[str, dict[str, Tensor]] = {}
    for name, weight in weights.items():
        match = _IN_PROJECTION.fullmatch(name)
        if match is not None:
            layer = _open_clip_name(match[1])
            projections.setdefault(f"model.{layer}.attn.in_proj_{match[3]}", {})[match[2]] = weight
        elif name == "text_projection.weight":
            yield "model.text_projection", weight.T
        else:
            yield f"model.{_open_clip_name(name)}", weight
    for name, parts in projections.items():
        yield name, torch.cat([parts["q"], parts["k"], parts["v"]])  # (3 d, ...)


def _activation(encoder: nn.Module) -> str:
    return str(cast(Mapping[str, Any], cast(Any, encoder).config.to_dict())["hidden_act"])


def _open_clip_name(name: str) -> str:
    for new, old in _OPEN_CLIP.items():
        name = name.replace(new, old)
    return name
