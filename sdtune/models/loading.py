"""From what the user typed as `base` to a frozen Stable Diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sdtune.files.whole_weights import load_whole
from sdtune.models.repository import Repository, find_folder, find_on_hub, is_hub_id
from sdtune.models.single_file import SUFFIXES, SingleFile, find_single_file
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.models.trained_schedule import read_trained_schedule

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import CLIPTokenizer

__all__ = ["NANO", "check_base", "find_configs", "load", "load_tokenizers"]

NANO = "nano"


def check_base(base: str | Path) -> None:
    """Check that a base can be loaded, without reading its weights.

    Args:
        base: `nano`; a folder in diffusers' layout; a Hugging Face id, `owner/name` or
            `owner/name@revision`, from the local cache when the hub is switched off or out of
            reach; or one `.safetensors` or `.ckpt` file in the original layout. A folder called
            nano is reached as `./nano`.

    Raises:
        ValueError: If it is none of these, or is incomplete, or is of no family that is known;
            the message says what to do.
    """
    _find(base)


def load(
    base: str | Path,
    dtype: torch.dtype = torch.float32,
    config: str | Path | None = None,
    vae_dtype: torch.dtype | None = None,
) -> StableDiffusion:
    """Load a base, on the CPU.

    Args:
        base: As in `check_base`.
        dtype: Floating type of the weights; those shipped in another are cast.
        config: Another base, whose configuration and vocabulary go with a single file's weights;
            None finds them.
        vae_dtype: Floating type of the VAE; None is `dtype`.

    Returns:
        The frozen model, in evaluation mode. Its fingerprints are those of the weights as they
        were shipped, whatever the type.

    Raises:
        ValueError: If `check_base` refuses it or its weights cannot be read.
    """
    found = _find(base) if config is None else _with_config(Path(base), _find(config))
    return _load_model(found, str(base), dtype, vae_dtype or dtype)


def load_tokenizers(base: str | Path) -> list[CLIPTokenizer]:
    """Load the tokenizers of a base, and no weights.

    Args:
        base: As in `check_base`.

    Returns:
        One for each of its text encoders.

    Raises:
        ValueError: If `check_base` refuses the base or it lacks a tokenizer.
    """
    found = _find(base)
    try:
        return [_load_tokenizer(found, name) for name in found.family.tokenizer_names]
    except (OSError, ValueError) as error:
        raise ValueError(f"`base` {base} has no tokenizer that can be loaded: {error}") from error


def find_configs(base: str | Path, *others: str) -> dict[str, Path]:
    """Find the configurations of the parts of a base that can be tuned, and of others.

    Args:
        base: As in `check_base`.
        *others: Further parts, such as `vae`.

    Returns:
        `unet`, each text encoder and the others, as diffusers' folders name them -> their
        config.json.

    Raises:
        ValueError: If `check_base` refuses the base or one is missing.
    """
    found = _find(base)
    names = ["unet", *found.family.text_encoder_names, *others]
    if isinstance(found, SingleFile):
        return {name: found.config / name / "config.json" for name in names}
    try:
        return {name: found.file(f"{name}/config.json") for name in names}
    except OSError as error:
        raise ValueError(f"`base` {base} lacks a configuration: {error}") from error


def find_file(base: str | Path, name: str) -> Path:
    """Find a file of a base's settings, downloaded if need be.

    Args:
        base: As in `check_base`.
        name: As diffusers' folders have it, such as `scheduler/scheduler_config.json`.

    Raises:
        ValueError: If `check_base` refuses the base or it has no such file.
    """
    found = _find(base)
    if isinstance(found, SingleFile):
        return found.config / name
    try:
        return found.file(name)
    except OSError as error:
        raise ValueError(f"`base` {base} lacks {name}: {error}") from error


def _find(base: str | Path) -> Repository | SingleFile:
    """Find a base, which is there, of a known family and complete as far as can be seen."""
    path = Path(base)
    if base == NANO:
        folder = _nano_folder()
        if not folder.is_dir():
            raise ValueError(f"nano's weights are missing from this installation: no {folder}.")
        return find_folder(folder, NANO)
    if base and path.is_dir():  # Path of an empty text would be the current folder
        return find_folder(path, str(base))
    if path.suffix in SUFFIXES:
        return find_single_file(path)
    if is_hub_id(str(base)):
        return find_on_hub(str(base))
    raise ValueError(
        "Expected `base` to be `nano`, a folder in diffusers' layout, a Hugging Face id such "
        "as `CompVis/stable-diffusion-v1-4`, or an existing .safetensors or .ckpt file, but "
        f"got `{base}`."
    )


def _with_config(path: Path, other: Repository | SingleFile) -> SingleFile:
    if isinstance(other, SingleFile):
        return SingleFile(path, other.family, other.config, other.noise_schedule)
    return SingleFile(path, other.family, Path(other.location), {})


def _load_model(
    found: Repository | SingleFile, source: str, dtype: torch.dtype, vae_dtype: torch.dtype
) -> StableDiffusion:
    from diffusers import DDPMScheduler
    from safetensors import SafetensorError

    family = found.family
    try:
        with _without_progress_bars():
            pipeline = _load_pipeline(found)
        schedule = read_trained_schedule(pipeline.scheduler.config)
        noise_scheduler = DDPMScheduler.from_config(schedule)  # does not know all `beta_schedule`s
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(f"`base` {source} could not be loaded: {error}") from error
    model = StableDiffusion(
        unet=pipeline.unet,
        vae=pipeline.vae,
        text_encoders=[getattr(pipeline, name) for name in family.text_encoder_names],
        tokenizers=[getattr(pipeline, name) for name in family.tokenizer_names],
        noise_scheduler=noise_scheduler,
        source=source,
        family=family,
        settings={name: pipeline.config[name] for name in family.pipeline_settings},
        dtype=dtype,
    )
    nn.Module.to(model.vae, vae_dtype)  # the libraries' own warns of no fault
    return model


def _load_pipeline(found: Repository | SingleFile) -> DiffusionPipeline:
    if isinstance(found, SingleFile):
        return found.load()
    parts = {part: _load_part(found, part) for part in found.family.weighted_parts}
    return found.family.pipeline_class().from_pretrained(
        found.location,
        variant=found.variant,
        **parts,
        **found.options,
        **found.family.pipeline_options,
    )


def _load_part(found: Repository, part: str) -> nn.Module:
    """Load a part in float32, as pipelines do; transformers takes its configuration's type."""
    from diffusers import ModelMixin

    kind = found.class_of(part)
    option = "torch_dtype" if issubclass(kind, ModelMixin) else "dtype"
    precision: dict[str, Any] = {option: torch.float32}
    loaded: nn.Module = load_whole(
        kind,
        found.location,
        subfolder=part,
        variant=found.variant_of(part),
        **precision,
        **found.options,
    )
    return loaded


def _load_tokenizer(found: Repository | SingleFile, name: str) -> CLIPTokenizer:
    from transformers import CLIPTokenizer

    if isinstance(found, SingleFile):
        return found.tokenizer(name)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(
        found.location, subfolder=name, **found.options
    )
    return tokenizer


def _nano_folder() -> Path:
    # a path and not an import: the models' room knows nothing of how nano is made
    return Path(str(files("sdtune"))) / "nano" / "weights"


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
