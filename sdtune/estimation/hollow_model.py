"""A base without values, of its true sizes, also where its weights are not at hand."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import torch

from sdtune.models import Part, StableDiffusion, check_base, load_tokenizers
from sdtune.models.empty_parts import make_empty_part, read_config
from sdtune.models.families import family_of_pipeline
from sdtune.models.loading import find_configs, find_file
from sdtune.models.repository import NotAtHandError
from sdtune.models.shipped import shipped_tokenizer

__all__ = ["hollow_model", "likely_architecture", "not_at_hand"]

_BY_NAME = {
    "xl": "stable_diffusion_xl",
    "2-1-base": "stable_diffusion_2_base",
    "2-base": "stable_diffusion_2_base",
    "diffusion-2": "stable_diffusion_2",
    "sd2": "stable_diffusion_2",
    "v1-": "stable_diffusion_1",
    "sd1": "stable_diffusion_1",
}
"""Parts of names -> the configuration that such bases have; the first that is found counts."""

_MOST_LIKELY = "stable_diffusion_1"

_SETTINGS = ("model_index.json", "scheduler/scheduler_config.json")


def likely_architecture(base: str) -> str | None:
    """Name the architecture that a base that is not at hand has, by its name.

    Args:
        base: As `model.base`.

    Returns:
        One of the configurations that come with sdtune; None if the base is at hand.

    Raises:
        ValueError: If it is refused, here or on the hub: as `check_base`.
    """
    try:
        check_base(base)
    except NotAtHandError:
        return _named_architecture(base) or _MOST_LIKELY
    return None


def not_at_hand(base: str) -> str:
    """Say what a base is counted as that is not at hand, and whether its name tells it.

    Args:
        base: One for which `likely_architecture` gives an architecture.
    """
    named = _named_architecture(base)
    if named is not None:
        return f"{base} is not at hand: counted as {named}."
    known = ", ".join(f"`{part}`" for part in _BY_NAME)
    return (
        f"{base} is not at hand, and its name does not tell what it is: counted as "
        f"{_MOST_LIKELY}, which may be wrong. A name with one of {known} in it is counted as such."
    )


def _named_architecture(base: str) -> str | None:
    name = base.lower().replace("_", "-")
    return next((each for part, each in _BY_NAME.items() if part in name), None)


def hollow_model(base: str, dtype: torch.dtype = torch.float32) -> StableDiffusion:
    """Build a base on the meta device, from its configurations alone.

    Args:
        base: As `model.base`; if it is not at hand, see `likely_architecture`.
        dtype: Floating type of the UNet and the text encoders.

    Returns:
        The bundle. It has shapes and names, and no values: its fingerprints are empty.

    Raises:
        ValueError: If a configuration cannot be read.
    """
    from diffusers import DDPMScheduler

    architecture = likely_architecture(base)
    if architecture is None:
        index, schedule = (find_file(base, each) for each in _SETTINGS)
    else:
        folder = Path(str(files("sdtune"))) / "models" / "configurations" / architecture
        index, schedule = (folder / each for each in _SETTINGS)
    named = read_config(index)["_class_name"]
    family = family_of_pipeline(named)
    if family is None:
        raise ValueError(f"Expected {index} to name a known family's pipeline, but got {named}.")
    if architecture is None:
        paths, tokenizers = find_configs(base, "vae"), load_tokenizers(base)
    else:
        tokenizers = [shipped_tokenizer(folder, name) for name in family.tokenizer_names]
        parts = ("unet", "vae", *family.text_encoder_names)
        paths = {name: folder / name / "config.json" for name in parts}
    modules: dict[str, Any] = {name: make_empty_part(name, path) for name, path in paths.items()}
    model = StableDiffusion(
        unet=modules["unet"],
        vae=modules["vae"],
        text_encoders=[modules[name] for name in family.text_encoder_names],
        tokenizers=tokenizers,
        noise_scheduler=DDPMScheduler.from_config(read_config(schedule)),
        source=base,
        family=family,
    )
    model._fingerprints = dict.fromkeys(get_args(Part), "")  # there is nothing to hash
    model.set_dtype(dtype)
    return model
