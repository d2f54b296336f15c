"""Optimizers by name: a function each, and an entry of a table that says what it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch.optim import Optimizer

from sdtune._checks import check_all
from sdtune._imports import require
from sdtune.techniques.optimization.parameter_groups import ParameterGroup

__all__ = [
    "OptimizerName",
    "averages_weights",
    "build_optimizer",
    "check_optimizer",
    "sets_own_rates",
]

log = logging.getLogger(__name__)

OptimizerName = Literal[
    "adamw",
    "adamw8bit",
    "adamw_schedule_free",
    "lion",
    "lion8bit",
    "sgd_nesterov",
    "adafactor",
    "adafactor_relative_step",
    "prodigy",
]
"""Every optimizer, by the name that a recipe gives.

- `adamw`: Loshchilov & Hutter 2019.
- `adamw8bit`: the same with a state of 8 bits (Dettmers et al. 2022, by bitsandbytes).
- `adamw_schedule_free`: AdamW whose average over the run takes the place of a falling schedule
  (Defazio et al. 2024). Samples, scores and files are of the average. Wants a constant schedule.
- `lion`: signs of a momentum (Chen et al. 2023, by bitsandbytes); a third to a tenth of AdamW's
  rate and three to ten times its weight decay are usual.
- `lion8bit`: the same with a state of 8 bits.
- `sgd_nesterov`: momentum 0.9; the weight decay is L2 regularisation.
- `adafactor`: Shazeer & Stern 2018, at the rates given.
- `adafactor_relative_step`: the same at its own rates: those given are ignored, and there is
  neither schedule nor warm-up.
- `prodigy`: Mishchenko & Defazio 2023. Each group (UNet, text encoder, words) has an estimate of
  its own, and its learning rate is a factor on that, best left at 1.
"""


@dataclass(frozen=True)
class _Entry:
    """An optimizer: how it is built from groups and weight decay, and what it asks for.

    Attributes:
        build: Builds it.
        package: Module that has to be installed, and the extra of sdtune that installs it.
        needs_constant_schedule: Whether it takes the place of a falling schedule.
        sets_own_rates: Whether the rates given mean nothing to it.
    """

    build: Callable[[list[ParameterGroup], float], Optimizer]
    package: tuple[str, str] | None = None
    needs_constant_schedule: bool = False
    sets_own_rates: bool = False


def build_optimizer(
    name: OptimizerName, groups: Iterable[ParameterGroup], weight_decay: float
) -> Optimizer:
    """Build an optimizer over parameter groups that hold their own learning rates.

    Args:
        name: Which one, see `OptimizerName`.
        groups: Parameter groups with `params` and `lr`.
        weight_decay: Decoupled weight decay; L2 regularisation for `sgd_nesterov`.

    Returns:
        The optimizer.
    """
    return _OPTIMIZERS[name].build(list(groups), weight_decay)


def sets_own_rates(name: OptimizerName) -> bool:
    """Tell whether an optimizer ignores the rates given, so that no schedule can scale them.

    Args:
        name: Which one.

    Returns:
        Whether it does.
    """
    return _OPTIMIZERS[name].sets_own_rates


def averages_weights(name: OptimizerName) -> bool:
    """Tell whether an optimizer averages the weights, in place of a falling rate.

    Args:
        name: Its name.

    Returns:
        Whether it does.
    """
    return _OPTIMIZERS[name].needs_constant_schedule


def check_optimizer(name: str, lr_schedule: str, warmup_steps: int) -> None:
    """Check that an optimizer exists, is installed, and can do with a schedule.

    Args:
        name: Its name.
        lr_schedule: Name of the schedule.
        warmup_steps: Steps on which the rate rises.

    Raises:
        ValueError: If it does not, is not, or cannot.
    """
    if name not in _OPTIMIZERS:
        names = ", ".join(f"`{each}`" for each in _OPTIMIZERS)
        raise ValueError(f"Expected `optimizer` to be one of {names}, but got `{name}`.")
    entry = _OPTIMIZERS[name]
    check_all(
        lambda: _check_package(name, entry),
        lambda: _check_schedule(name, entry, lr_schedule),
        lambda: _check_warmup(name, entry, warmup_steps),
    )


def _check_package(name: str, entry: _Entry) -> None:
    if entry.package is None:
        return
    try:
        require(*entry.package)
    except ModuleNotFoundError as error:  # listed with all else that is wrong
        raise ValueError(f"`optimizer` is `{name}`. {error}") from error


def _check_schedule(name: str, entry: _Entry, lr_schedule: str) -> None:
    if lr_schedule == "constant" or not (entry.sets_own_rates or entry.needs_constant_schedule):
        return
    why = "sets its own rates" if entry.sets_own_rates else "averages in place of a falling rate"
    raise ValueError(
        f"Expected `lr_schedule` to be `constant` beside `optimizer` `{name}`, which {why}, but "
        f"got `{lr_schedule}`."
    )


def _check_warmup(name: str, entry: _Entry, warmup_steps: int) -> None:
    if entry.sets_own_rates and warmup_steps != 0:
        raise ValueError(
            f"Expected `warmup_steps` to be 0 beside `optimizer` `{name}`, which sets its own "
            f"rates, but got {warmup_steps}."
        )


def _adamw(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    # one kernel for all parameters: an adapter has hundreds of small ones
    optimizer = torch.optim.AdamW(groups, weight_decay=weight_decay, fused=True)
    # the kernel would also undo the loss's scale, and Lightning then refuses to clip gradients
    optimizer._step_supports_amp_scaling = False
    return optimizer


def _adamw8bit(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit(groups, weight_decay=weight_decay)


def _adamw_schedule_free(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from sdtune.techniques.optimization.schedule_free import AdamWScheduleFree

    return AdamWScheduleFree(groups, weight_decay=weight_decay)


def _lion(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from bitsandbytes.optim import Lion

    return Lion(groups, weight_decay=weight_decay)


def _lion8bit(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from bitsandbytes.optim import Lion8bit

    return Lion8bit(groups, weight_decay=weight_decay)


def _sgd_nesterov(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True, weight_decay=weight_decay)


def _adafactor(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from sdtune.techniques.optimization.adafactor import GroupedAdafactor

    return GroupedAdafactor(  # type: ignore[no-untyped-call]
        groups,
        weight_decay=weight_decay,
        relative_step=False,
        scale_parameter=False,
        warmup_init=False,
    )


def _adafactor_relative_step(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from sdtune.techniques.optimization.adafactor import RelativeStepAdafactor

    log.warning("Adafactor with relative steps sets its own rates: those given are ignored.")
    return RelativeStepAdafactor(groups, weight_decay)


def _prodigy(groups: list[ParameterGroup], weight_decay: float) -> Optimizer:
    from sdtune.techniques.optimization.prodigy import Prodigy

    if any(group["lr"] < 0.1 for group in groups):
        log.warning("Prodigy scales its own estimate by the learning rate: 1 is usual.")
    return Prodigy(groups, weight_decay=weight_decay, decouple=True)


_OPTIMIZERS: dict[str, _Entry] = {
    "adamw": _Entry(_adamw),
    "adamw8bit": _Entry(_adamw8bit),
    "adamw_schedule_free": _Entry(
        _adamw_schedule_free,
        package=("schedulefree", "schedulefree"),
        needs_constant_schedule=True,
    ),
    "lion": _Entry(_lion),
    "lion8bit": _Entry(_lion8bit),
    "sgd_nesterov": _Entry(_sgd_nesterov),
    "adafactor": _Entry(_adafactor),
    "adafactor_relative_step": _Entry(_adafactor_relative_step, sets_own_rates=True),
    "prodigy": _Entry(_prodigy, package=("prodigyopt", "prodigy")),
}
