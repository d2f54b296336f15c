"""Optimizers and learning-rate schedules by name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args

import torch
from torch.nn import Parameter
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sdtune._checks import check_all, check_not_negative
from sdtune._imports import require
from sdtune.adapters.lora import lora_parameters
from sdtune.models.stable_diffusion import StableDiffusion

__all__ = [
    "LRScheduleName",
    "OptimizerName",
    "build_lr_scheduler",
    "build_optimizer",
    "check_optimization_arguments",
    "lora_groups",
]

log = logging.getLogger(__name__)

OptimizerName = Literal[
    "adamw", "adamw8bit", "sgd_nesterov", "adafactor", "adafactor_relative_step", "prodigy"
]
LRScheduleName = Literal["constant", "linear", "cosine"]
ParameterGroup = dict[str, Any]


def check_optimization_arguments(
    optimizer: str,
    lr_schedule: str,
    learning_rates: Mapping[str, float | None],
    weight_decay: float,
    warmup_steps: int,
) -> None:
    """Check the arguments of `build_optimizer` and `build_lr_scheduler` before a model is loaded.

    Args:
        optimizer: Name of the optimizer.
        lr_schedule: Name of the schedule.
        learning_rates: Rates by the name of the argument that holds them; None is "not trained".
        weight_decay: Decoupled weight decay.
        warmup_steps: Steps on which the rate rises.

    Raises:
        ValueError: If one is out of its range, with the allowed values.
    """
    check_all(
        lambda: _check_name("optimizer", optimizer, get_args(OptimizerName)),
        lambda: _check_name("lr_schedule", lr_schedule, get_args(LRScheduleName)),
        *(partial(_check_learning_rate, *each) for each in learning_rates.items()),
        lambda: check_not_negative("weight_decay", weight_decay),
        lambda: check_not_negative("warmup_steps", warmup_steps),
    )


def build_optimizer(
    name: OptimizerName, groups: Iterable[ParameterGroup], weight_decay: float
) -> Optimizer:
    """Build an optimizer over parameter groups that hold their own learning rates.

    Args:
        name: `adamw` (Loshchilov & Hutter 2019), `adamw8bit` (Dettmers et al. 2022, by
            bitsandbytes), `sgd_nesterov` (momentum 0.9), `adafactor` (Shazeer & Stern 2018, at
            the given learning rates), `adafactor_relative_step` (the same at its own rate: those
            given are ignored) or `prodigy` (Mishchenko & Defazio 2023; the learning rate is a
            factor on its own estimate, best left at 1).
        groups: Parameter groups with `params` and `lr`.
        weight_decay: Decoupled weight decay; L2 regularisation for `sgd_nesterov`.

    Returns:
        The optimizer.
    """
    return _BUILDERS[name](list(groups), weight_decay)


def build_lr_scheduler(
    name: LRScheduleName, optimizer: Optimizer, warmup_steps: int, max_steps: int
) -> LRScheduler:
    """Build a learning-rate schedule: a linear rise, then what its name says.

    Args:
        name: `constant`, or `linear` or `cosine` from the full rate down to 0 at `max_steps`.
        optimizer: Whose rates are scaled.
        warmup_steps: Optimizer steps of the rise; 0 starts at the full rate.
        max_steps: Optimizer steps of the run.

    Returns:
        The schedule, to be stepped after every optimizer step.
    """
    from transformers import get_scheduler

    transformers_name = "constant_with_warmup" if name == "constant" else name
    return get_scheduler(
        transformers_name, optimizer, num_warmup_steps=warmup_steps, num_training_steps=max_steps
    )


def lora_groups(
    model: StableDiffusion, learning_rate: float, text_encoder_learning_rate: float | None
) -> list[ParameterGroup]:
    """Group the matrices of a LoRA for `build_optimizer`.

    Args:
        model: A bundle to which `add_lora` has been applied.
        learning_rate: Rate of the UNet's matrices.
        text_encoder_learning_rate: Rate of the text encoders'; None if they have none.

    Returns:
        A group for the UNet and one for the text encoders, if they learn.
    """
    rates = {"unet": learning_rate, "text_encoder": text_encoder_learning_rate}
    parts = {"unet": model.unet, "text_encoder": model.text_encoders}
    return [
        {"name": name, "params": lora_parameters(parts[name]), "lr": rate}
        for name, rate in rates.items()
        if rate is not None
    ]


def _check_name(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        names = ", ".join(f"`{each}`" for each in allowed)
        raise ValueError(f"Expected `{name}` to be one of {names}, but got `{value}`.")


def _check_learning_rate(name: str, rate: float | None) -> None:
    if rate is not None and not 0 < rate < float("inf"):
        raise ValueError(f"Expected `{name}` to be a positive number, but got {rate}.")


def _adamw(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    # one kernel for all parameters: an adapter has hundreds of small ones
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
    # the kernel would also undo the loss's scale, and Lightning then refuses to clip gradients
    optimizer._step_supports_amp_scaling = False
    return optimizer


def _adamw8bit(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit(groups, weight_decay=weight_decay)


def _sgd_nesterov(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=weight_decay)


def _adafactor(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from transformers import Adafactor

    return Adafactor(
        groups,
        weight_decay=weight_decay,
        relative_step=False,
        scale_parameter=False,
        warmup_init=False,
    )


def _adafactor_relative_step(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from transformers import Adafactor

    log.warning("Adafactor with relative steps sets its own rates: those given are ignored.")
    parameters: list[Parameter] = [each for group in groups for each in group["params"]]
    return Adafactor(parameters, lr=None, weight_decay=weight_decay, relative_step=True)


def _prodigy(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    require("prodigyopt", extra="prodigy")
    from prodigyopt import Prodigy

    if any(group["lr"] < 0.1 for group in groups):
        log.warning("Prodigy scales its own estimate by the learning rate: 1 is usual.")
    return Prodigy(groups, weight_decay=weight_decay, decouple=True)


_BUILDERS: dict[OptimizerName, Callable[[list[ParameterGroup], float], Optimizer]] = {
    "adamw": _adamw,
    "adamw8bit": _adamw8bit,
    "sgd_nesterov": _sgd_nesterov,
    "adafactor": _adafactor,
    "adafactor_relative_step": _adafactor_relative_step,
    "prodigy": _prodigy,
}
