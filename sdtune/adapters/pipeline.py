"""From a base and an adapter to a diffusers pipeline that draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdtune.adapters import (
    custom_diffusion_format,
    diffusers_format,
    kohya_format,
    peft_format,
    textual_inversion_format,
    unet_format,
)
from sdtune.adapters.pivotal import EMBEDDING_KEY
from sdtune.files import tensor_file
from sdtune.models.loading import NANO, check_base, load

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

    from sdtune.models.stable_diffusion import StableDiffusion

__all__ = ["find_adapter_files", "load_adapter", "load_pipeline"]

_FILE_NAMES = (
    textual_inversion_format.FILE_NAME,
    diffusers_format.FILE_NAME,
    custom_diffusion_format.FILE_NAME,
    unet_format.FILE_NAME,
    kohya_format.FILE_NAME,
)


def load_pipeline(
    base: str | Path = NANO, adapter: str | Path | None = None
) -> StableDiffusionPipeline:
    """Load a base and put an adapter on it.

    Args:
        base: `nano`, a Hugging Face id, a folder in diffusers' layout, or one file in the
            original layout.
        adapter: The adapter's file, its folder, or the folder of the run that made it; None for
            the base alone. Any file that diffusers' `load_lora_weights` reads will do, a LoRA in
            kohya's layout or in a folder of PEFT's, any safetensors file that diffusers'
            `load_textual_inversion` reads, keys and values as its `load_attn_procs` reads them,
            and a UNet that was tuned as a whole.

    Returns:
        A pipeline on the CPU, float32, ready to be called with a prompt.

    Raises:
        FileNotFoundError: If there is no such adapter.
        ValueError: If the base cannot be loaded, or the adapter is for another kind of base.
    """
    check_base(base)
    paths = [] if adapter is None else find_adapter_files(adapter)
    model = load(base)
    _load_files(model, paths)
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
    _load_files(model, paths)
    return paths


def _load_files(model: StableDiffusion, paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            peft_format.load(model, path)
        elif textual_inversion_format.holds_embedding(path):
            textual_inversion_format.load(model, path)
        elif custom_diffusion_format.holds_custom_diffusion(path):
            custom_diffusion_format.load(model, path)
        elif unet_format.holds_unet(path):
            unet_format.load(model, path)
        elif kohya_format.holds_kohya(path):
            kohya_format.load(model, path)
        else:
            _load_with_diffusers(model, path)


def _load_with_diffusers(model: StableDiffusion, path: Path) -> None:
    try:
        diffusers_format.load(model, path)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"Expected {path} to be an adapter for a base of the architecture of {model.source}, "
            "but its weights do not fit: give the base that it was trained on."
        ) from error


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
        return [*_embeddings_beside(path), path]
    for folder in (path, path / "adapter"):
        found = [folder / name for name in _FILE_NAMES if (folder / name).is_file()]
        if found:
            found = [each for each in found if each.name != kohya_format.FILE_NAME] or found
            return list(dict.fromkeys(p for f in found for p in (*_embeddings_beside(f), f)))
        if peft_format.find_peft_folders(folder):
            return [folder]
    raise FileNotFoundError(
        f"Expected an adapter at {path}, but there is neither such a file nor a folder with "
        f"{' or '.join(_FILE_NAMES)}."
    )


def _embeddings_beside(path: Path) -> list[Path]:
    is_safetensors = path.suffix == ".safetensors"
    names = tensor_file.read_metadata(path).get(EMBEDDING_KEY, "") if is_safetensors else ""
    beside = [path.with_name(Path(name).name) for name in names.split()]  # in no other folder
    missing = [each.name for each in beside if not each.is_file()]
    if missing:
        raise FileNotFoundError(
            f"Expected {' and '.join(missing)} beside {path}, which was trained with the words in "
            "it, but that is missing: copy all files."
        )
    return beside
