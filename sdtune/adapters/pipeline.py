"""From a base and an adapter to a diffusers pipeline that draws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.adapters import (
    diffusers_format,
    tensor_file,
    textual_inversion_format,
    unet_format,
)
from sdtune.adapters.pivotal import EMBEDDING_KEY
from sdtune.models.loading import NANO, check_base, load

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

__all__ = ["find_adapter_files", "load_pipeline"]

_FILE_NAMES = (
    textual_inversion_format.FILE_NAME,
    diffusers_format.FILE_NAME,
    unet_format.FILE_NAME,
)


def load_pipeline(
    base: str | Path = NANO, adapter: str | Path | None = None
) -> StableDiffusionPipeline:
    """Load a base and put an adapter on it.

    Args:
        base: `nano`, a Hugging Face id, a folder in diffusers' layout, or one file in the
            original layout.
        adapter: The adapter's file, its folder, or the folder of the run that made it; None for
            the base alone. Any file that diffusers' `load_lora_weights` reads will do, and any
            safetensors file that its `load_textual_inversion` reads, and a UNet that was tuned as a
            whole.

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
        if textual_inversion_format.holds_embedding(path):
            textual_inversion_format.load(model, path)
        elif unet_format.holds_unet(path):
            unet_format.load(model, path)
        else:
            diffusers_format.load(model, path)
    return model.pipeline()


def find_adapter_files(path: str | Path) -> list[Path]:
    """Find the files of an adapter: a LoRA, a UNet, a learned word, or a word and then its LoRA.

    Args:
        path: The file, a folder that holds it under its default name, or a run folder that holds
            it in `adapter/`.

    Returns:
        One file or two, in the order in which they are loaded.

    Raises:
        FileNotFoundError: If there is none, or a LoRA's header names a word that is not beside it.
    """
    path = Path(path)
    if path.is_file():
        return [*_embedding_beside(path), path]
    for folder in (path, path / "adapter"):
        found = [folder / name for name in _FILE_NAMES if (folder / name).is_file()]
        if found:
            return found
    raise FileNotFoundError(
        f"Expected an adapter at {path}, but there is neither such a file nor a folder with "
        f"{' or '.join(_FILE_NAMES)}."
    )


def _embedding_beside(path: Path) -> list[Path]:
    is_safetensors = path.suffix == ".safetensors"
    name = tensor_file.read_metadata(path).get(EMBEDDING_KEY) if is_safetensors else None
    if name is None:
        return []
    beside = path.with_name(Path(name).name)  # a header leads to no other folder
    if not beside.is_file():
        raise FileNotFoundError(
            f"Expected {beside.name} beside {path}, which was trained with the word in it, but it "
            "is missing: copy both files."
        )
    return [beside]
