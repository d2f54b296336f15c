"""A base in one `.safetensors` or `.ckpt` file, in the layout of the original Stable Diffusion."""

from __future__ import annotations

import zipfile
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdtune.models.families import Family, families

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

__all__ = ["SUFFIXES", "check_single_file", "find_config", "load_single_file"]

SUFFIXES = (".safetensors", ".ckpt")


def check_single_file(path: Path) -> Family:
    """Check that a file holds a whole model of a family, without reading its weights.

    Args:
        path: The file.

    Returns:
        The family.

    Raises:
        ValueError: If it does not exist, cannot be read safely, lacks a part, or no configuration
            can be found for it (see `load_single_file`).
    """
    if not path.is_file():
        raise ValueError(f"Expected `base` to be an existing file, but there is no {path}.")
    header = _read_header(path)
    lacking = {
        family: [
            part
            for prefix, part in family.single_file_parts.items()
            if not any(name.startswith(prefix) for name in header)
        ]
        for family in families()
    }
    nearest = max(
        lacking,
        key=lambda each: (not lacking[each], len(each.single_file_parts) - len(lacking[each])),
    )
    if lacking[nearest]:
        raise ValueError(
            f"Expected `base` {path} to hold a whole {nearest.name} in the original "
            f"layout, but it lacks {', '.join(lacking[nearest])}."
        )
    _find_config(path, header)
    return nearest


def load_single_file(path: Path, family: Family) -> DiffusionPipeline:
    """Load a model from one file.

    Such a file holds weights alone. The configurations and the vocabulary come from a folder in
    diffusers' layout (weights not needed): one named as the file without its suffix, or the
    file's own; else from the repository that diffusers infers from the weights, in the local
    Hugging Face cache or downloaded.

    Args:
        path: The file, which `check_single_file` accepts.
        family: What that returned.

    Returns:
        The family's diffusers pipeline, without a safety checker.

    Raises:
        ValueError: If no configuration can be found, or a part of the model lacks in the file.
    """
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    pipeline_class: Any = family.pipeline_class()  # its mixin can read such files
    try:
        pipeline: DiffusionPipeline = pipeline_class.from_single_file(
            str(path),
            config=str(find_config(path)),
            local_files_only=True,
            **family.pipeline_options,
        )
    except SingleFileComponentError as error:
        raise ValueError(str(error)) from error
    return pipeline


def find_config(path: Path) -> Path:
    """Find the folder with the configurations and the vocabulary that go with a file.

    Args:
        path: The file, which `check_single_file` accepts.

    Returns:
        A folder in diffusers' layout, without weights perhaps; see `load_single_file`.

    Raises:
        ValueError: If there is none.
    """
    return _find_config(path, _read_header(path))


def _read_header(path: Path) -> dict[str, Tensor]:
    """Read names and shapes, as tensors on the meta device."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {
                    name: torch.empty(file.get_slice(name).get_shape(), device="meta")
                    for name in file.keys()  # noqa: SIM118 (not a mapping)
                }
        content = torch.load(
            path, map_location="meta", weights_only=True, mmap=zipfile.is_zipfile(path)
        )
    except UnpicklingError as error:
        raise ValueError(
            f"`base` {path} is refused: it is damaged, or a pickle that holds more than tensors, "
            "which could run code when read. Use a .safetensors file of the same model."
        ) from error
    except (SafetensorError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(f"`base` {path} cannot be read: {error}") from error
    while isinstance(content, dict) and "state_dict" in content:
        content = content["state_dict"]
    if not isinstance(content, dict):
        raise ValueError(
            f"`base` {path} cannot be read: it holds a {type(content).__name__} where named "
            "weights were expected."
        )
    return content


def _find_config(path: Path, header: dict[str, Tensor]) -> Path:
    for folder in (path.with_suffix(""), path.parent):
        if (folder / "model_index.json").is_file():
            return folder

    from diffusers.loaders.single_file_utils import fetch_diffusers_config
    from huggingface_hub import is_offline_mode, snapshot_download

    repository = fetch_diffusers_config(header)["pretrained_model_name_or_path"]
    try:
        cached = snapshot_download(
            repository,
            allow_patterns=["*.json", "*.txt"],
            local_files_only=is_offline_mode(),
        )
    except OSError as error:
        raise ValueError(
            f"`base` {path} holds weights alone, and the configuration that goes with them, "
            f"{repository}, is neither in the local Hugging Face cache nor within reach: put the "
            f"repository's .json and .txt files into {path.with_suffix('')}, or load the file "
            "once with a network."
        ) from error
    return Path(cached)
