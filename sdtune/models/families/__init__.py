"""The families of base models, one a file, behind one protocol."""

from sdtune.models.families.family import Family, check_clip_skip
from sdtune.models.families.registry import families, family_of_pipeline, register_family
from sdtune.models.families.stable_diffusion import StableDiffusionFamily
from sdtune.models.families.stable_diffusion_xl import StableDiffusionXLFamily

__all__ = [
    "Family",
    "StableDiffusionFamily",
    "StableDiffusionXLFamily",
    "check_clip_skip",
    "families",
    "family_of_pipeline",
    "register_family",
]
