"""From a base and an adapter to a diffusers pipeline that draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.adapters import registry
from sdtune.adapters.adapter_set import files_beside
from sdtune.files.regular_file import special_kind
from sdtune.models.loading import NANO, check_base, load
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["find_adapter_files", "load_adapter", "load_pipeline"]


def load_pipeline(base: str | Path = NANO, adapter: str | Path | None = None) -> DiffusionPipeline:
    """Load a base and put an adapter on it.

    Args:
        base: `nano`, a Hugging Face id, a folder in diffusers' layout, or one file in the
            original layout.
        adapter: The adapter's file, its folder, or the folder of the run that made it; None for
            the base alone. Any file that diffusers' `load_lora_weights` reads will do, a LoRA in
            kohya's layout or in a folder of PEFT's, any safetensors file that diffusers'
            `load_textual_inversion` reads, keys and values as its `load_attn_procs` reads them,
            a UNet that was tuned as a whole, and whatever else is registered.

    Returns:
        A pipeline on the CPU, float32, ready to be called with a prompt.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If the base cannot be loaded, or the adapter is for another kind of base.
    """
    check_base(base)
    paths = [] if adapter is None else find_adapter_files(adapter)
    model = load(base)
    for path in paths:
        registry.recognise(path).load(model, path)
    return model.pipeline()


def load_adapter(model: StableDiffusion, adapter: str | Path) -> list[Path]:
    """Put an adapter into a model, in place and frozen.

    Args:
        model: A bundle without an adapter.
        adapter: As in `load_pipeline`.

    Returns:
        Its files.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If it is for another kind of base.
    """
    paths = find_adapter_files(adapter)
    for path in paths:
        registry.recognise(path).load(model, path)
    return paths


def find_adapter_files(path: str | Path) -> list[Path]:
    """Find the files of an adapter: learned words, and then the weights that go with them.

    Args:
        path: The file, a folder that holds it under its default name, or a run folder that holds
            it in `adapter/`.

    Returns:
        The files, in the order in which they are loaded; for PEFT's layout, a folder.

    Raises:
        FileNotFoundError: If there is none, or a header names a word's file that is not beside it.
    """
    path = Path(path)
    if path.is_file():
        return [*files_beside(path), path]
    for folder in (path, path / "adapter"):
        found = registry.find_in_folder(folder)
        if found:
            return list(dict.fromkeys(p for f in found for p in (*files_beside(f), f)))
    if kind := special_kind(path):
        raise FileNotFoundError(
            f"Expected an adapter at {path}, but it is {kind}, which is not opened."
        )
    names = dict.fromkeys(each.file_name for each in registry.formats())
    raise FileNotFoundError(
        f"Expected an adapter at {path}, but there is neither such a file nor a folder with "
        f"{' or '.join(names)}."
    )
