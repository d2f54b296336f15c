"""How to draw with what a run has learned: in diffusers, A1111 or ComfyUI, and sdtune."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sdtune.adapters.lora.base_kind import guess_family
from sdtune.adapters.registry import made_for
from sdtune.adapters.usage import Program, Use, literal, shown
from sdtune.files import tensor_file
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
    elsewhere = _NANO_ELSEWHERE if base == NANO else _elsewhere(files, prompt, name)
    return [
        _diffusers(base, files, prompt, name),
        elsewhere,
        Snippet("sdtune", _sdtune(base, files[0].parent, prompt)),
    ]


_ELSEWHERE: tuple[Program, ...] = ("A1111", "ComfyUI")

_NANO_ELSEWHERE = Snippet(
    "A1111 and ComfyUI",
    "",
    "These programs do not know nano, a model of 64 pixels made for trying things out. An adapter "
    "for Stable Diffusion 1 or 2 can be used in both.",
)


def _diffusers(base: str, files: Sequence[Path], prompt: str, name: str) -> Snippet:
    uses = _uses("diffusers", files, name)
    if not all(use.lines for use in uses):
        return Snippet("diffusers", "", _notes(uses))
    is_file = Path(base).suffix in (".safetensors", ".ckpt")
    loading = "from_single_file" if is_file else "from_pretrained"
    # a folder says which pipeline it is for, and a single file does not
    pipeline = _single_file_pipeline(files) if is_file else "DiffusionPipeline"
    imports = [f"from diffusers import {pipeline}"]
    source = literal(base)
    repository, at, revision = base.partition("@")
    if at and not Path(base).exists():
        source = f"{literal(repository)}, revision={literal(revision)}"
    lines = [f"pipeline = {pipeline}.{loading}({source})"]
    if base == NANO:
        imports, lines = ["from sdtune import load"], ['pipeline = load("nano").pipeline()']
    for use in uses:
        imports += use.imports
        lines += use.lines
    lines.append(f'pipeline({literal(prompt)}).images[0].save("picture.png")')
    return Snippet("diffusers", "\n".join([*imports, "", *lines]), _notes(uses))


def _single_file_pipeline(files: Sequence[Path]) -> str:
    headers = [tensor_file.read_header(path) for path in files if path.is_file()]
    is_xl = any(guess_family(header.shapes) == "Stable Diffusion XL" for header in headers)
    return "StableDiffusionXLPipeline" if is_xl else "StableDiffusionPipeline"


def _sdtune(base: str, folder: Path, prompt: str) -> str:
    return (
        "from sdtune import load_pipeline\n\n"
        f"pipeline = load_pipeline({literal(base)}, {literal(shown(folder))})\n"
        f'pipeline({literal(prompt)}).images[0].save("picture.png")'
    )


def _elsewhere(files: Sequence[Path], prompt: str, name: str) -> Snippet:
    uses = {program: _uses(program, files, name) for program in _ELSEWHERE}
    texts = [
        _program(program, each, prompt)
        for program, each in uses.items()
        if all(use.lines for use in each)
    ]
    return Snippet(
        "A1111 and ComfyUI",
        "\n\n".join(texts),
        _notes([use for each in uses.values() for use in each]),
    )


def _program(program: Program, uses: Sequence[Use], prompt: str) -> str:
    lines = [f"# {program}"]
    for use in uses:
        lines += use.lines
        for word, written in use.words.items():
            prompt = prompt.replace(word, written)
        prompt += use.appended
    return "\n".join([*lines, f"# prompt: {prompt}"])


def _uses(program: Program, files: Sequence[Path], name: str) -> list[Use]:
    given = [made_for(program, path) for path in files]
    return [form.use(program, path, name) for form, path in given]


def _notes(uses: Sequence[Use]) -> str:
    return " ".join(dict.fromkeys(use.note for use in uses if use.note))
