"""The base model: loading it, the frozen bundle, and sampling from it."""

from sdtune.models.conditioning import Conditioning
from sdtune.models.families import Family, register_family
from sdtune.models.loading import NANO, check_base, load, load_tokenizers
from sdtune.models.noise_schedulers import (
    NoiseSchedulerName,
    check_noise_scheduler,
    make_noise_scheduler,
)
from sdtune.models.prompt_cache import PromptCache
from sdtune.models.sampling import initial_noise, sample
from sdtune.models.stable_diffusion import Part, StableDiffusion

__all__ = [
    "NANO",
    "Conditioning",
    "Family",
    "NoiseSchedulerName",
    "Part",
    "PromptCache",
    "StableDiffusion",
    "check_base",
    "check_noise_scheduler",
    "initial_noise",
    "load",
    "load_tokenizers",
    "make_noise_scheduler",
    "register_family",
    "sample",
]
