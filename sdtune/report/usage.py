"""How to draw with what a run has learned: in diffusers, A1111 or ComfyUI, and sdtune."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.adapters import (
    custom_diffusion_format,
    kohya_format,
    textual_inversion_format,
    unet_format,
)
from sdtune.models import NANO

__all__ = ["Snippet", "describe_use"]


@dataclass(frozen=True)
class Snippet:
    """A way to use an adapter.

    Attributes:
        title: The program.
        text: What to type; empty if it cannot be used there.
        note: A sentence above it; may be empty.
    """

    title: str
    text: str
    note: str = ""


@dataclass(frozen=True)
class _Files:
    """An adapter's files by what they hold."""

    words: Sequence[Path] = ()
    lora: Path | None = None
    keys_and_values: Path | None = None
    unet: Path | None = None

    @classmethod
    def of(cls, paths: Sequence[Path]) -> _Files:
        words = [path for path in paths if textual_inversion_format.holds_embedding(path)]
        weights = next((path for path in paths if path not in words), None)
        if weights is None:
            return cls(words)
        if unet_format.holds_unet(weights):
            return cls(words, unet=weights)
        if custom_diffusion_format.holds_custom_diffusion(weights):
            return cls(words, keys_and_values=weights)
        return cls(words, lora=weights)


def describe_use(base: str, files: Sequence[Path], prompt: str, name: str) -> list[Snippet]:
    """Say how an adapter is used, by its kind: a LoRA, learned words, a whole UNet, and so on.

    Args:
        base: What it was trained on, as the user named it.
        files: The adapter's files, as `find_adapter_files` lists them; at least one.
        prompt: What to draw, in the examples.
        name: What the adapter's file may be called elsewhere, such as `style_lora`.

    Returns:
        A snippet each for diffusers, for A1111 and ComfyUI, and for sdtune.
    """
    found = _Files.of(files)
    elsewhere = _NANO_ELSEWHERE if base == NANO else _elsewhere(found, prompt, name)
    return [
        Snippet("diffusers", _diffusers(base, found, prompt)),
        elsewhere,
        Snippet("sdtune", _sdtune(base, files[0].parent, prompt)),
    ]


_NANO_ELSEWHERE = Snippet(
    "A1111 and ComfyUI",
    "",
    "These programs do not know nano, a model of 64 pixels made for trying things out. An adapter "
    "for Stable Diffusion 1 or 2 can be used in both.",
)


def _diffusers(base: str, files: _Files, prompt: str) -> str:
    is_file = Path(base).suffix in (".safetensors", ".ckpt")
    loading = "from_single_file" if is_file else "from_pretrained"
    imports = ["from diffusers import StableDiffusionPipeline"]
    lines = [f"pipeline = StableDiffusionPipeline.{loading}({_literal(base)})"]
    if base == NANO:
        imports, lines = ["from sdtune import load"], ['pipeline = load("nano").pipeline()']
    if files.unet is not None:
        imports.append("from diffusers import UNet2DConditionModel")
        unet = f"UNet2DConditionModel.from_pretrained({_literal(_shown(files.unet.parent))})"
        lines.append(f"pipeline.unet = {unet}")
    lines += [f"pipeline.load_textual_inversion({_literal(_shown(word))})" for word in files.words]
    if files.lora is not None:
        folder, name = _shown(files.lora.parent), files.lora.name
        lines += [
            "pipeline.load_lora_weights(",
            f"    {_literal(folder)},",
            f"    weight_name={_literal(name)},",
            ")",
        ]
    if files.keys_and_values is not None:
        lines += [
            "pipeline.unet.load_attn_procs(",
            f"    {_literal(_shown(files.keys_and_values.parent))},",
            f"    weight_name={_literal(files.keys_and_values.name)},",
            "    _pipeline=pipeline,  # without it diffusers reads the file and applies nothing",
            ")",
        ]
    lines.append(f'pipeline({_literal(prompt)}).images[0].save("picture.png")')
    return "\n".join([*imports, "", *lines])


def _sdtune(base: str, folder: Path, prompt: str) -> str:
    return (
        "from sdtune import load_pipeline\n\n"
        f"pipeline = load_pipeline({_literal(base)}, {_literal(_shown(folder))})\n"
        f'pipeline({_literal(prompt)}).images[0].save("picture.png")'
    )


def _elsewhere(files: _Files, prompt: str, name: str) -> Snippet:
    if files.unet is not None:
        return Snippet(
            "A1111 and ComfyUI",
            f"cp {_quoted(files.unet)} ComfyUI/models/diffusion_models/{name}.safetensors\n"
            "# node: Load Diffusion Model; CLIP and VAE are the base's",
            "A1111 loads whole models only, and this is a UNet alone. In ComfyUI:",
        )
    if files.keys_and_values is not None:
        return Snippet(
            "A1111 and ComfyUI",
            "",
            "These programs do not read keys and values of the cross-attention. Train with "
            "`model.rank` to get a LoRA, which they do.",
        )
    a1111, comfyui = ["# A1111"], ["# ComfyUI"]
    a1111_prompt = comfyui_prompt = prompt
    for path in files.words:
        token = textual_inversion_format.read(path).placeholder_token
        word = token.strip("<>") or name  # these programs call a word by its file's name
        file = f"{word}.safetensors"
        a1111.append(f"cp {_quoted(path)} stable-diffusion-webui/embeddings/{file}")
        comfyui.append(f"cp {_quoted(path)} ComfyUI/models/embeddings/{file}")
        a1111_prompt = a1111_prompt.replace(token, word)
        comfyui_prompt = comfyui_prompt.replace(token, f"embedding:{word}")
    if files.lora is not None:
        lora = _quoted(_kohya_file(files.lora))
        a1111.append(f"cp {lora} stable-diffusion-webui/models/Lora/{name}.safetensors")
        comfyui.append(f"cp {lora} ComfyUI/models/loras/{name}.safetensors")
        comfyui.append("# node: Load LoRA, strength 1")
        a1111_prompt += f" <lora:{name}:1>"
    a1111.append(f"# prompt: {a1111_prompt}")
    comfyui.append(f"# prompt: {comfyui_prompt}")
    return Snippet("A1111 and ComfyUI", "\n".join([*a1111, "", *comfyui]))


def _kohya_file(lora: Path) -> Path:
    """Take the file beside a LoRA that was written for these programs, if there is one."""
    beside = lora.with_name(kohya_format.FILE_NAME)
    return beside if beside.is_file() else lora


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _quoted(path: Path) -> str:
    return shlex.quote(_shown(path))


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # which Python reads as well
