"""Pure functions on tensors, which everything above shares. Needs torch and nothing else."""

from sdtune.functional.autocasting import is_autocast_on
from sdtune.functional.device_copies import copied_to
from sdtune.functional.diffusion import (
    PredictionType,
    add_noise,
    min_snr_weights,
    snr,
    target_slope,
    training_target,
)
from sdtune.functional.losses import (
    diffusion_loss,
    latent_weights,
    prior_preservation_loss,
    weighed,
)
from sdtune.functional.merging import constrained_merge
from sdtune.functional.randomness import (
    Stream,
    counter_generator,
    counter_rand,
    counter_randint,
    counter_randn,
    counter_random_state,
    counter_uniform,
    isolated_random_state,
)

__all__ = [
    "PredictionType",
    "Stream",
    "add_noise",
    "constrained_merge",
    "copied_to",
    "counter_generator",
    "counter_rand",
    "counter_randint",
    "counter_randn",
    "counter_random_state",
    "counter_uniform",
    "diffusion_loss",
    "is_autocast_on",
    "isolated_random_state",
    "latent_weights",
    "min_snr_weights",
    "prior_preservation_loss",
    "snr",
    "target_slope",
    "training_target",
    "weighed",
]
