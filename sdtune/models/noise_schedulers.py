"""Deterministic noise schedulers for sampling, on the schedule the model was trained with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, SchedulerMixin

__all__ = ["NoiseSchedulerName", "check_noise_scheduler", "make_noise_scheduler"]

NoiseSchedulerName = Literal["dpm++", "ddim", "euler", "unipc"]


def check_noise_scheduler(name: str) -> None:
    """Check the name of a noise scheduler without importing diffusers.

    Args:
        name: What the user typed.

    Raises:
        ValueError: If it is none of the deterministic schedulers on offer.
    """
    if name not in get_args(NoiseSchedulerName):
        allowed = ", ".join(f"`{each}`" for each in get_args(NoiseSchedulerName))
        raise ValueError(f"Expected `noise_scheduler` to be one of {allowed}, but got `{name}`.")


def make_noise_scheduler(name: NoiseSchedulerName, trained: DDPMScheduler) -> SchedulerMixin:
    """Make a deterministic noise scheduler for sampling.

    Schedulers that add noise at every step (ancestral, SDE) are not on offer: they draw one
    tensor for the whole batch, so a picture would depend on its place in it.

    Args:
        name: `dpm++` (DPM-Solver++ 2M, Lu et al. 2022), `ddim` (Song et al. 2021), `euler`
            (Karras et al. 2022) or `unipc` (Zhao et al. 2023).
        trained: The scheduler whose configuration holds the model's betas and prediction type.

    Returns:
        A fresh scheduler. A zero-terminal-SNR schedule is stepped from its last timestep, where
        training saw pure noise (Lin et al. 2023, https://arxiv.org/abs/2305.08891).

    Raises:
        ValueError: If `name` is none of the four.
    """
    import diffusers

    check_noise_scheduler(name)
    made: SchedulerMixin
    overrides: dict[str, Any] = {}
    if trained.config.get("rescale_betas_zero_snr", False):
        overrides["timestep_spacing"] = "trailing"
    if name == "ddim":
        # latents are not pictures: they are not bounded by 1
        made = diffusers.DDIMScheduler.from_config(trained.config, clip_sample=False, **overrides)
    elif name == "euler":
        made = diffusers.EulerDiscreteScheduler.from_config(trained.config, **overrides)
    elif name == "unipc":
        made = diffusers.UniPCMultistepScheduler.from_config(trained.config, **overrides)
    else:
        made = diffusers.DPMSolverMultistepScheduler.from_config(
            trained.config, algorithm_type="dpmsolver++", **overrides
        )
    return made
