"""The noise schedule that a base was trained with: what is read of it, and which are refused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from sdtune.functional.diffusion import PredictionType
from sdtune.models.empty_parts import named_values, read_config

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

__all__ = [
    "SCHEDULER_CONFIG",
    "SCHEDULE_KEYS",
    "check_trained_schedule",
    "read_trained_schedule",
    "retold",
]

SCHEDULER_CONFIG = "scheduler/scheduler_config.json"

SCHEDULE_KEYS = (
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "num_train_timesteps",
    "prediction_type",
    "rescale_betas_zero_snr",
)
"""What a schedule is, whether its configuration names it or its class fills it in."""

# what samplers are told of it if the configuration names it: where its steps lie; the last two are
# for other programs, which read whole models that are written
_NAMED = ("timestep_spacing", "steps_offset", "set_alpha_to_one", "clip_sample", "skip_prk_steps")

_BETAS = ("beta_start", "beta_end")
_STABLE_DIFFUSION_S = (0.00085, 0.012)


def read_trained_schedule(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read what a schedule is from a noise scheduler's configuration, and no option of its sampler.

    Args:
        config: Of any of diffusers' noise schedulers with betas.

    Returns:
        What another one's `from_config` takes to be on the same schedule.
    """
    named = named_values(config)
    schedule = {name: config[name] for name in SCHEDULE_KEYS if name in config}
    return schedule | {name: named[name] for name in _NAMED if name in named}


def retold(noise_scheduler: SchedulerMixin, told: Mapping[str, Any]) -> SchedulerMixin:
    """Make a noise scheduler anew, of which more is known than its configuration says.

    `register_to_config` would not do: a name that the configuration left out stays listed as such,
    and is dropped by the next `from_config`.

    Args:
        noise_scheduler: Any of diffusers'.
        told: What it was not told, or not told right.

    Returns:
        One of the same class.
    """
    known: Any = noise_scheduler  # the mixin's type knows no configuration
    made: SchedulerMixin = type(known).from_config({**named_values(known.config), **told})
    return made


def check_trained_schedule(index: Path, path: Path, base: str) -> None:
    """Check that a base's noise schedule is one of betas, as this family is trained with.

    Args:
        index: The base's model_index.json, whose class is the one that is loaded.
        path: Its `SCHEDULER_CONFIG`.
        base: What the user typed, for messages.

    Raises:
        ValueError: If the base is trained by another noise process, such as EDM's or flow
            matching, or predicts what is not known, or its betas are not told.
    """
    config = read_config(path)
    named = read_config(index).get("scheduler")
    loaded = named[1] if isinstance(named, list) and len(named) == 2 else None
    classes = [str(each) for each in (loaded, config.get("_class_name")) if each]
    process = _other_process(classes, config)
    if process:
        raise ValueError(
            f"Expected `base` to be trained on a noise schedule of betas, but {base} is trained by "
            f"{process}, as {path} says, which sdtune does not train."
        )
    prediction_type = config.get("prediction_type", "epsilon")
    if prediction_type not in get_args(PredictionType):
        allowed = ", ".join(f"`{each}`" for each in get_args(PredictionType))
        raise ValueError(
            f"Expected `prediction_type` in {path} to be one of {allowed}, but `base` {base} has "
            f"`{prediction_type}`: it is another kind of model, or the file is to be corrected."
        )
    told = config.get("trained_betas") or all(config.get(each) is not None for each in _BETAS)
    if not told and (not classes or _default_betas(classes[0]) != _STABLE_DIFFUSION_S):
        start, end = _STABLE_DIFFUSION_S
        raise ValueError(
            f"Expected {path} to say with which betas `base` {base} was trained, but it holds "
            f"neither `beta_start` and `beta_end` nor `trained_betas`: write them into it (Stable "
            f"Diffusion's are {start} and {end}, with the `beta_schedule` scaled_linear)."
        )


def _other_process(classes: list[str], config: Mapping[str, Any]) -> str | None:
    """Name the noise process of a base that is trained by another one than betas tell."""
    for each in classes:
        if each.startswith("EDM"):
            return f"EDM ({each})"
        if "FlowMatch" in each:
            return f"flow matching ({each})"
    if config.get("sigma_data") is not None:
        return "EDM (`sigma_data`)"
    return "flow matching (`use_flow_sigmas`)" if config.get("use_flow_sigmas") else None


def _default_betas(class_name: str) -> tuple[Any, ...]:
    """Give the first and the last beta that a class of diffusers' fills in."""
    import diffusers

    kind = getattr(diffusers, class_name, None)
    parameters = inspect.signature(kind.__init__).parameters if inspect.isclass(kind) else {}
    return tuple(parameters[each].default for each in _BETAS if each in parameters)
