"""Models that are no base here, told by their names, so that they are refused by them."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

__all__ = ["foreign_name_of_channels", "foreign_name_of_file", "foreign_name_of_pipeline"]

# part of a pipeline's name -> what such models are; the first that fits
_PIPELINES = {
    "StableDiffusion3": "Stable Diffusion 3",
    "Flux": "Flux",
    "Inpaint": "a model for inpainting",
    "StableDiffusionXLImg2Img": "Stable Diffusion XL's refiner",
    "Upscale": "an upscaler",
    "InstructPix2Pix": "InstructPix2Pix, which edits pictures",
    "Depth": "a model for depth",
    "ControlNet": "a ControlNet",
    "Video": "a model for video",
}

# part of a weight's name in a file -> what such files are; the first that fits
_WEIGHTS = {
    "joint_blocks.0.": "Stable Diffusion 3",
    "double_blocks.0.": "Flux, or a model of its kind",
    "conditioner.embedders.0.model.": "Stable Diffusion XL's refiner",
    "control_model.": "a ControlNet",
    "time_stack.": "a model for video",
    "motion_modules.": "a model for video",
    "edm_mean": "Playground 2.5, which is trained by another noise schedule",
    "edm_vpred.": "CosXL or of its kind, which is trained by another noise schedule (EDM)",
    "cap_embedder.": "Lumina or Z-Image",
}

# channels that the UNet takes in, beyond the latents' 4
_CHANNELS = {
    5: "a model for depth",
    7: "an upscaler",
    8: "InstructPix2Pix, which edits pictures",
    9: "a model for inpainting",
}
_CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"


def foreign_name_of_pipeline(name: object) -> str | None:
    """Say what a folder is whose pipeline is none of a base.

    Args:
        name: The pipeline's class, as a model_index.json names it.

    Returns:
        Such as `Stable Diffusion 3`; None if it is not known.
    """
    return next((what for part, what in _PIPELINES.items() if part in str(name)), None)


def foreign_name_of_file(header: Mapping[str, Tensor]) -> str | None:
    """Say what a file in the original layout is if it is none of a base.

    Args:
        header: Names of its weights -> tensors of the right shapes.

    Returns:
        Such as `Flux`; None if it may be a base.
    """
    for part, what in _WEIGHTS.items():
        if any(part in name for name in header):
            return what
    if _CONV_IN in header and header[_CONV_IN].ndim == 4:
        return foreign_name_of_channels(header[_CONV_IN].shape[1])
    return None


def foreign_name_of_channels(channels: int) -> str | None:
    """Say what a UNet is that takes in more than latents of 4 channels.

    Args:
        channels: How many it takes in.

    Returns:
        Such as `a model for inpainting`; None if it is not known.
    """
    return _CHANNELS.get(channels)
