"""How A1111 and ComfyUI read a LoRA, written from the formats' rules and not from sdtune's code.

Each reader gives, for modules of a model, what their weights change by; and refuses a file of which
it would leave a tensor aside, which those programs do with a line in their logs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdtune.models import StableDiffusion

__all__ = ["a1111", "apply_changes", "comfyui", "original_names"]

Changes = dict[tuple[str, str], Tensor]
"""Part and module -> what its weight changes by, flattened to (out, in * k * k)."""

_LAYER_MODULES = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj")
_LAYER_MODULES += ("mlp.fc1", "mlp.fc2")


def original_names(unet: nn.Module) -> dict[str, str]:
    """Count a UNet's blocks as its first implementation built them: original name -> module."""
    inner = {
        "conv1": "in_layers.2",
        "conv2": "out_layers.3",
        "time_emb_proj": "emb_layers.1",
        "conv_shortcut": "skip_connection",
    }
    names = {"input_blocks.0.0": "conv_in", "out.2": "conv_out"}
    for original, module in _blocks(unet).items():
        if original.endswith((".op", ".conv")):
            names[original] = module
            continue
        for name, _ in unet.get_submodule(module).named_modules():
            if name:
                names[f"{original}.{inner.get(name, name)}"] = f"{module}.{name}"
    return names


def _blocks(unet: nn.Module) -> dict[str, str]:
    blocks = {
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
    }
    number = 0
    for b, block in enumerate(unet.down_blocks):
        for j in range(len(block.resnets)):
            number += 1
            _add_layer(blocks, block, f"input_blocks.{number}", f"down_blocks.{b}", j)
        if block.downsamplers is not None:
            number += 1
            blocks[f"input_blocks.{number}.0.op"] = f"down_blocks.{b}.downsamplers.0.conv"
    number = 0
    for b, block in enumerate(unet.up_blocks):
        for j in range(len(block.resnets)):
            place = _add_layer(blocks, block, f"output_blocks.{number}", f"up_blocks.{b}", j)
            if block.upsamplers is not None and j == len(block.resnets) - 1:
                conv = f"up_blocks.{b}.upsamplers.0.conv"
                blocks[f"output_blocks.{number}.{place}.conv"] = conv
            number += 1
    return blocks


def _add_layer(
    blocks: dict[str, str], block: nn.Module, original: str, module: str, layer: int
) -> int:
    """Add a residual block and its transformer, if there is one; return the next free place."""
    blocks[f"{original}.0"] = f"{module}.resnets.{layer}"
    if getattr(block, "attentions", None) is None:
        return 1
    blocks[f"{original}.1"] = f"{module}.attentions.{layer}"
    return 2


def comfyui(model: StableDiffusion, tensors: Mapping[str, Tensor]) -> Changes:
    """Read as ComfyUI does: original and diffusers' names, in kohya's and diffusers' spelling."""
    known: dict[str, tuple[str, str]] = {}
    originals = original_names(model.unet)
    for original, module in originals.items():
        known["lora_unet_" + original.replace(".", "_")] = ("unet", module)
        known["lora_unet_" + module.replace(".", "_")] = ("unet", module)
        for prefix in ("", "unet."):
            name = prefix + module.replace(".to_", ".processor.to_")
            known[name.removesuffix(".0") if name.endswith("to_out.0") else name] = ("unet", module)
    _add_text_names(known, model, ("lora_te_", "lora_te1_"), dotted=True)
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    used = set()
    for name, place in known.items():
        for end, kind in (
            (".lora_up.weight", "up"), (".lora_down.weight", "down"), (".lora_mid.weight", "mid"),
            ("_lora.up.weight", "up"), ("_lora.down.weight", "down"),
            (".lora.up.weight", "up"), (".lora.down.weight", "down"),
            (".lora_linear_layer.up.weight", "up"), (".lora_linear_layer.down.weight", "down"),
            (".alpha", "alpha"), *((f".{each}", each) for each in _LYCORIS),
        ):  # fmt: skip
            if name + end in tensors:
                found.setdefault(place, {})[kind] = tensors[name + end]
                used.add(name + end)
    _refuse_rest(tensors, used)
    return {place: _change(each) for place, each in found.items()}


def a1111(model: StableDiffusion, tensors: Mapping[str, Tensor]) -> Changes:
    """Read as A1111 does: a name up to the first dot, which is kohya's for the base's family."""
    is_xl = len(model.text_encoders) > 1
    known: dict[str, tuple[str, str]] = {}
    originals = original_names(model.unet)
    for original, module in originals.items():
        written = original if is_xl else module
        known["lora_unet_" + written.replace(".", "_")] = ("unet", module)
    _add_text_names(known, model, ("lora_te1_",) if is_xl else ("lora_te_",), dotted=False)
    kinds = {"lora_up.weight": "up", "lora_down.weight": "down", "lora_mid.weight": "mid"}
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    used = set()
    for key, tensor in tensors.items():
        name, _, end = key.partition(".")
        kind = kinds.get(end, end)
        if name in known and kind in {*kinds.values(), "alpha", *_LYCORIS}:
            found.setdefault(known[name], {})[kind] = tensor
            used.add(key)
    _refuse_rest(tensors, used)
    return {place: _change(each) for place, each in found.items()}


@torch.no_grad()
def apply_changes(model: StableDiffusion, changes: Changes) -> None:
    """Add changes to a model's weights, as both programs do."""
    parts = {"unet": model.unet}
    parts |= dict(zip(("text_encoder", "text_encoder_2"), model.text_encoders, strict=False))
    for (part, module), change in changes.items():
        weight = parts[part].get_submodule(module).weight
        weight += change.reshape(weight.shape)


_LYCORIS = (
    *(f"hada_w{number}_{side}" for number in "12" for side in "ab"),
    "hada_t1", "hada_t2", "lokr_w1", "lokr_w2", "lokr_t2",
    *(f"lokr_w{number}_{side}" for number in "12" for side in "ab"),
)  # fmt: skip


def _add_text_names(
    known: dict[str, tuple[str, str]],
    model: StableDiffusion,
    prefixes: tuple[str, ...],
    *,
    dotted: bool,
) -> None:
    """Name 32 layers of six modules, and none besides."""
    for number, encoder in enumerate(model.text_encoders):
        part = "text_encoder" if number == 0 else "text_encoder_2"
        modules = dict(encoder.named_modules())
        for layer in range(32):
            for end in _LAYER_MODULES:
                inner = f"encoder.layers.{layer}.{end}"
                module = next((n for n in (inner, f"text_model.{inner}") if n in modules), None)
                if module is None:
                    continue
                name = f"text_model.{inner}"
                for prefix in prefixes if number == 0 else ("lora_te2_",):
                    known[prefix + name.replace(".", "_")] = (part, module)
                if dotted:
                    known[f"{part}.{name}"] = (part, module)


def _refuse_rest(tensors: Mapping[str, Tensor], used: set[str]) -> None:
    rest = sorted(tensors.keys() - used)
    if rest:
        raise KeyError(f"{len(rest)} keys are not loaded, such as {rest[0]}")


def _change(named: Mapping[str, Tensor]) -> Tensor:
    alpha = named["alpha"].item() if "alpha" in named else None
    if "up" in named:
        up, down = named["up"].flatten(1), named["down"]
        if "mid" in named:
            down = torch.einsum("mnkl,ni->mikl", named["mid"], down.flatten(1))
        return _scale(alpha, len(down)) * up @ down.flatten(1)
    if "hada_w1_a" in named:
        first, second = (
            _tucker(named[f"hada_t{n}"], named[f"hada_w{n}_a"], named[f"hada_w{n}_b"])
            if "hada_t1" in named
            else named[f"hada_w{n}_a"] @ named[f"hada_w{n}_b"]
            for n in "12"
        )
        return (_scale(alpha, len(named["hada_w1_b"])) * first * second).flatten(1)
    dim = None
    factors = []
    for n in "12":
        if f"lokr_w{n}" in named:
            factors.append(named[f"lokr_w{n}"])
            continue
        a, b = named[f"lokr_w{n}_a"], named[f"lokr_w{n}_b"]
        dim = len(b)
        factors.append(
            _tucker(named["lokr_t2"], a, b) if n == "2" and "lokr_t2" in named else a @ b
        )
    first, second = factors
    if second.ndim == 4:
        first = first[:, :, None, None]
    product = torch.kron(first, second.contiguous())
    # of two full matrices the size is not known, and alpha is left aside
    return (1.0 if dim is None else _scale(alpha, dim)) * product.flatten(1)


def _tucker(middle: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("ijkl,jr,ip->prkl", middle, b, a)


def _scale(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank
