"""From what the user typed as `base` to a frozen Stable Diffusion."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sdtune.models.families import Family, families, family_of_pipeline
from sdtune.models.single_file import (
    SUFFIXES,
    check_single_file,
    find_config,
    load_single_file,
)
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import CLIPTokenizer

__all__ = ["NANO", "check_base", "find_configs", "load", "load_tokenizers"]

NANO = "nano"

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def check_base(base: str | Path) -> None:
    """Check that a base can be loaded, without reading its weights.

    Args:
        base: `nano`; a folder in diffusers' layout; a Hugging Face id, from the local cache when
            the hub is switched off or out of reach; or one `.safetensors` or `.ckpt` file in the
            original layout. A folder called nano is reached as `./nano`.

    Raises:
        ValueError: If it is none of these, or is incomplete, or is of no family that is known;
            the message says what to do.
    """
    _recognise(base)


def load(base: str | Path, dtype: torch.dtype = torch.float32) -> StableDiffusion:
    """Load a base, on the CPU.

    Args:
        base: As in `check_base`.
        dtype: Floating type of the weights; those shipped in another are cast.

    Returns:
        The frozen model, in evaluation mode.

    Raises:
        ValueError: If `check_base` refuses it or its weights cannot be read.
    """
    from diffusers import DDPMScheduler
    from safetensors import SafetensorError

    family = _recognise(base)
    try:
        with _without_progress_bars():
            pipeline = _load_pipeline(base, family)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"`base` {base} could not be loaded: {error}") from error
    model = StableDiffusion(
        unet=pipeline.unet,
        vae=pipeline.vae,
        text_encoders=[getattr(pipeline, name) for name in family.text_encoder_names],
        tokenizers=[getattr(pipeline, name) for name in family.tokenizer_names],
        noise_scheduler=DDPMScheduler.from_config(pipeline.scheduler.config),
        source=str(base),
        family=family,
        settings={name: pipeline.config[name] for name in family.pipeline_settings},
    )
    return model.to(dtype)


def load_tokenizers(base: str | Path) -> list[CLIPTokenizer]:
    """Load the tokenizers of a base, and no weights.

    Args:
        base: As in `check_base`.

    Returns:
        One for each of its text encoders.

    Raises:
        ValueError: If `check_base` refuses the base or it lacks a tokenizer.
    """
    from huggingface_hub import is_offline_mode
    from transformers import CLIPTokenizer

    family = _recognise(base)
    path = _nano_folder() if base == NANO else Path(base)
    if path.suffix in SUFFIXES and path.is_file():
        path = find_config(path)
    try:
        return [
            CLIPTokenizer.from_pretrained(
                str(path), subfolder=name, local_files_only=path.is_dir() or is_offline_mode()
            )
            for name in family.tokenizer_names
        ]
    except (OSError, ValueError) as error:
        raise ValueError(f"`base` {base} has no tokenizer that can be loaded: {error}") from error


def find_configs(base: str | Path) -> dict[str, Path]:
    """Find the configurations of the parts of a base that can be tuned.

    Args:
        base: As in `check_base`.

    Returns:
        `unet` and each text encoder, as diffusers' folders name them -> its config.json.

    Raises:
        ValueError: If `check_base` refuses the base or one is missing.
    """
    from huggingface_hub import hf_hub_download, is_offline_mode

    names = ["unet", *_recognise(base).text_encoder_names]
    path = _nano_folder() if base == NANO else Path(base)
    if path.suffix in SUFFIXES and path.is_file():
        path = find_config(path)
    if path.is_dir():
        return {name: path / name / "config.json" for name in names}
    is_offline = is_offline_mode()
    try:
        return {
            name: Path(
                hf_hub_download(str(base), f"{name}/config.json", local_files_only=is_offline)
            )
            for name in names
        }
    except OSError as error:
        raise ValueError(f"`base` {base} lacks a configuration: {error}") from error


def _recognise(base: str | Path) -> Family:
    """Find the family of a base, which is there and complete as far as can be seen."""
    path = Path(base)
    if base == NANO:
        return _check_folder(_nano_folder())
    if base and path.is_dir():  # Path of an empty text would be the current folder
        return _check_folder(path)
    if path.suffix in SUFFIXES:
        return check_single_file(path)
    if _HUB_ID.fullmatch(str(base)):
        return _check_hub_id(str(base))
    raise ValueError(
        "Expected `base` to be `nano`, a folder in diffusers' layout, a Hugging Face id such "
        "as `CompVis/stable-diffusion-v1-4`, or an existing .safetensors or .ckpt file, but "
        f"got `{base}`."
    )


def _load_pipeline(base: str | Path, family: Family) -> DiffusionPipeline:
    from huggingface_hub import is_offline_mode

    path = _nano_folder() if base == NANO else Path(base)
    if path.suffix in SUFFIXES and path.is_file():
        return load_single_file(path, family)
    is_half_only = path.is_dir() and all(".fp16." in file.name for file in _weights(path, "unet"))
    return family.pipeline_class().from_pretrained(
        str(path),
        variant="fp16" if is_half_only else None,
        local_files_only=path.is_dir() or is_offline_mode(),
        **family.pipeline_options,
    )


def _nano_folder() -> Path:
    # a path and not an import: the models' room knows nothing of how nano is made
    return Path(str(files("sdtune"))) / "nano" / "weights"


def _check_folder(folder: Path) -> Family:
    if not folder.is_dir():
        raise ValueError(f"nano's weights are missing from this installation: no {folder}.")
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError(
            f"Expected `base` {folder} to be a folder in diffusers' layout, but it has no "
            "model_index.json."
        )
    family = _family_in(index, str(folder))
    parts = ("unet", "vae", *family.text_encoder_names)
    missing = [
        f"{part}/config.json" for part in parts if not (folder / part / "config.json").is_file()
    ]
    missing += [f"weights in {part}/" for part in parts if not _weights(folder, part)]
    missing += [
        f"{part}/"
        for part in (*family.tokenizer_names, "scheduler")
        if not (folder / part).is_dir()
    ]
    if missing:
        raise ValueError(f"`base` {folder} is incomplete: it lacks {', '.join(missing)}.")
    return family


def _weights(folder: Path, part: str) -> list[Path]:
    return [file for file in (folder / part).glob("*") if file.suffix in {".safetensors", ".bin"}]


def _check_hub_id(base: str) -> Family:
    from huggingface_hub import hf_hub_download, is_offline_mode
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    is_offline = is_offline_mode()
    try:
        index = hf_hub_download(base, "model_index.json", local_files_only=is_offline)
    except GatedRepoError as error:
        raise ValueError(
            f"`base` {base} asks for its licence to be accepted: do so on its page on the Hugging "
            "Face hub, then run `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise ValueError(
            f"`base` {base} is neither a folder here nor a repository that the Hugging Face hub "
            "shows to this account."
        ) from error
    except LocalEntryNotFoundError as error:
        reason = "is switched off by HF_HUB_OFFLINE" if is_offline else "cannot be reached"
        raise ValueError(
            f"`base` {base} is neither a folder here nor in the local Hugging Face cache, and the "
            f"hub {reason}: run `hf download {base}` with a network, or give a diffusers folder, "
            "a .safetensors file or `nano`."
        ) from error
    except EntryNotFoundError as error:
        raise ValueError(
            f"Expected `base` {base} to be a repository in diffusers' layout, but it has no "
            "model_index.json."
        ) from error
    except OSError as error:
        raise ValueError(
            f"`base` {base} could not be looked up on the Hugging Face hub: {error}"
        ) from error
    return _family_in(Path(index), base)


def _family_in(index: Path, base: str) -> Family:
    try:
        name = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{index} is not a JSON object: {error}") from error
    family = family_of_pipeline(name)
    if family is None:
        known = " or ".join(
            f"a {each.name} for text to image, a {each.pipeline_name}" for each in families()
        )
        raise ValueError(f"Expected `base` to be {known}, but {base} is a {name}.")
    return family


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    shown = [
        each for each in (diffusers_logging, transformers_logging) if each.is_progress_bar_enabled()
    ]
    for each in shown:
        each.disable_progress_bar()
    try:
        yield
    finally:
        for each in shown:
            each.enable_progress_bar()
