"""How to draw with what a run has learned: in diffusers, A1111 or ComfyUI, and sdtune."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.adapters import kohya_format, textual_inversion_format, unet_format
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
    lora: Path | None
    word: Path | None
    unet: Path | None

    @classmethod
    def of(cls, paths: Sequence[Path]) -> _Files:
        unet = next((path for path in paths if unet_format.holds_unet(path)), None)
        others = [path for path in paths if path != unet]
        word = next((p for p in others if textual_inversion_format.holds_embedding(p)), None)
        return cls(next((path for path in others if path != word), None), word, unet)


def describe_use(base: str, files: Sequence[Path], prompt: str, name: str) -> list[Snippet]:
    """Say how an adapter is used, by its kind: LoRA, learned word, both, or a whole UNet.

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
    if files.word is not None:
        lines.append(f"pipeline.load_textual_inversion({_literal(_shown(files.word))})")
    if files.lora is not None:
        folder, name = _shown(files.lora.parent), files.lora.name
        lines += [
            "pipeline.load_lora_weights(",
            f"    {_literal(folder)},",
            f"    weight_name={_literal(name)},",
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
    a1111, comfyui = ["# A1111"], ["# ComfyUI"]
    a1111_prompt = comfyui_prompt = prompt
    if files.word is not None:
        token = textual_inversion_format.read(files.word).placeholder_token
        word = token.strip("<>") or name  # these programs call a word by its file's name
        file = f"{word}.safetensors"
        a1111.append(f"cp {_quoted(files.word)} stable-diffusion-webui/embeddings/{file}")
        comfyui.append(f"cp {_quoted(files.word)} ComfyUI/models/embeddings/{file}")
        a1111_prompt = prompt.replace(token, word)
        comfyui_prompt = prompt.replace(token, f"embedding:{word}")
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
