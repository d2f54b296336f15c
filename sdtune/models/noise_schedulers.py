"""Noise schedulers for sampling, on the schedule the model was trained with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from sdtune.models.trained_schedule import read_trained_schedule

if TYPE_CHECKING:
    from diffusers import DDPMScheduler, SchedulerMixin

__all__ = [
    "NoiseSchedulerName",
    "check_noise_scheduler",
    "make_noise_scheduler",
    "name_elsewhere",
]

NoiseSchedulerName = Literal[
    "dpm++",
    "dpm++_karras",
    "dpm++_sde",
    "dpm++_sde_karras",
    "ddim",
    "euler",
    "euler_a",
    "unipc",
]


@dataclass(frozen=True)
class _Kind:
    """A noise scheduler of diffusers', and what A1111 calls it: the sampler, and its schedule."""

    class_name: str
    elsewhere: tuple[str, str]
    options: dict[str, Any] = field(default_factory=dict)


_DPM = "DPMSolverMultistepScheduler"
_ODE = {"algorithm_type": "dpmsolver++"}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_KARRAS = {"use_karras_sigmas": True}

_KINDS: dict[NoiseSchedulerName, _Kind] = {
    "dpm++": _Kind(_DPM, ("DPM++ 2M", "Uniform"), _ODE),
    "dpm++_karras": _Kind(_DPM, ("DPM++ 2M", "Karras"), {**_ODE, **_KARRAS}),
    "dpm++_sde": _Kind(_DPM, ("DPM++ 2M SDE", "Uniform"), _SDE),
    "dpm++_sde_karras": _Kind(_DPM, ("DPM++ 2M SDE", "Karras"), {**_SDE, **_KARRAS}),
    # latents are not pictures: they are not bounded by 1
    "ddim": _Kind("DDIMScheduler", ("DDIM", ""), {"clip_sample": False}),
    "euler": _Kind("EulerDiscreteScheduler", ("Euler", "Uniform")),
    "euler_a": _Kind("EulerAncestralDiscreteScheduler", ("Euler a", "Uniform")),
    "unipc": _Kind("UniPCMultistepScheduler", ("UniPC", "")),
}


def check_noise_scheduler(name: str) -> None:
    """Check the name of a noise scheduler without importing diffusers.

    Args:
        name: What the user typed.

    Raises:
        ValueError: If it is none of those on offer.
    """
    if name not in get_args(NoiseSchedulerName):
        allowed = ", ".join(f"`{each}`" for each in get_args(NoiseSchedulerName))
        raise ValueError(f"Expected `noise_scheduler` to be one of {allowed}, but got `{name}`.")


def make_noise_scheduler(name: NoiseSchedulerName, trained: DDPMScheduler) -> SchedulerMixin:
    """Make a noise scheduler for sampling.

    `dpm++_sde` and `euler_a` add noise at every step, which `sample` draws for each picture by its
    own seed; the others add none.

    Args:
        name: `dpm++` (DPM-Solver++ 2M, Lu et al. 2022) and its `_sde`, each also with `_karras`
            sigmas; `ddim` (Song et al. 2021); `euler` and the ancestral `euler_a` (Karras et al.
            2022); or `unipc` (Zhao et al. 2023).
        trained: The scheduler whose configuration holds the model's betas and prediction type. No
            option of its own sampler is taken over: a name means one sampler for every base.

    Returns:
        A fresh scheduler. A zero-terminal-SNR schedule is stepped from its last timestep, where
        training saw pure noise (Lin et al. 2023, https://arxiv.org/abs/2305.08891), and has no
        `_karras` sigmas.

    Raises:
        ValueError: If `name` is none of them.
    """
    import diffusers

    check_noise_scheduler(name)
    kind = _KINDS[name]
    options = dict(kind.options)
    if trained.config.get("rescale_betas_zero_snr", False):
        options["timestep_spacing"] = "trailing"
        options.pop("use_karras_sigmas", None)  # its last sigma is infinite: nothing to space
    schedule = read_trained_schedule(trained.config)
    made: SchedulerMixin = getattr(diffusers, kind.class_name).from_config(schedule, **options)
    return made


def name_elsewhere(name: NoiseSchedulerName) -> tuple[str, str]:
    """Name a noise scheduler as A1111 does.

    Args:
        name: As for `make_noise_scheduler`.

    Returns:
        The sampler, and its type of schedule; the latter is empty where A1111 names none.
    """
    return _KINDS[name].elsewhere
