"""Optimizers and schedules do what their names say."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch.nn import Parameter

from sdtune._imports import PRODIGYOPT_AVAILABLE
from sdtune.techniques.optimization import (
    OptimizerName,
    build_lr_scheduler,
    build_optimizer,
    check_optimization_arguments,
)


def _distance_after(name: OptimizerName, learning_rate: float, steps: int = 60) -> float:
    """Minimise the distance from 1, and return how far it is still."""
    parameter = Parameter(torch.zeros(64, 128))
    optimizer = build_optimizer(name, [{"params": [parameter], "lr": learning_rate}], 0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        (parameter - 1).square().sum().backward()
        optimizer.step()
    return float((parameter.detach() - 1).abs().mean())


@pytest.mark.parametrize("name", get_args(OptimizerName))
def test_every_optimizer_gets_closer(name: OptimizerName) -> None:
    if name == "prodigy" and not PRODIGYOPT_AVAILABLE:
        pytest.skip("prodigyopt is not installed")
    distance = _distance_after(name, 1.0 if name == "prodigy" else 0.02)
    # at parameters near zero, Adafactor's own steps are tiny
    assert distance < (1.0 if name == "adafactor_relative_step" else 0.95)


def test_adafactor_obeys_the_learning_rate_given() -> None:
    slow, fast = (_distance_after("adafactor", rate, steps=5) for rate in (1e-4, 1e-2))
    assert 1 - fast == pytest.approx(100 * (1 - slow), rel=0.05)


def test_adafactor_with_relative_steps_ignores_it() -> None:
    rates = (1e-4, 1e-2)
    slow, fast = (_distance_after("adafactor_relative_step", rate, steps=5) for rate in rates)
    assert fast == slow


def test_sgd_is_nesterovs() -> None:
    parameter = Parameter(torch.zeros(1))
    optimizer = build_optimizer("sgd_nesterov", [{"params": [parameter], "lr": 0.1}], 0.0)
    for _ in range(2):
        parameter.grad = torch.ones(1)
        optimizer.step()
    # velocities 1 and 1.9; each step is gradient + 0.9 * velocity
    assert float(parameter.detach()) == pytest.approx(-0.1 * (1.9 + 1 + 0.9 * 1.9))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.0, 0.5, 1.0, *((1 + math.cos(math.pi * k / 4)) / 2 for k in (1, 2, 3))]),
    ],
)
def test_schedules_rise_and_fall(name: str, expected: list[float]) -> None:
    optimizer = torch.optim.SGD([Parameter(torch.zeros(1))], lr=1.0)
    lr_scheduler = build_lr_scheduler(name, optimizer, warmup_steps=2, max_steps=6)
    rates = []
    for _ in expected:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        lr_scheduler.step()
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimizer": "adam"}, "Expected `optimizer` to be one of `adamw`.*but got `adam`"),
        ({"lr_schedule": "step"}, "Expected `lr_schedule` to be one of `constant`"),
        ({"learning_rates": {"learning_rate": 0.0}}, "Expected `learning_rate` to be a positive"),
        ({"weight_decay": -1.0}, "Expected `weight_decay` to be 0 or more, but got -1.0"),
        ({"warmup_steps": -1}, "Expected `warmup_steps` to be 0 or more, but got -1"),
    ],
)
def test_bad_arguments_are_named(changed: dict, message: str) -> None:
    arguments = {
        "optimizer": "adamw",
        "lr_schedule": "constant",
        "learning_rates": {"learning_rate": 1e-4, "text_encoder_learning_rate": None},
        "weight_decay": 0.0,
        "warmup_steps": 0,
    }
    check_optimization_arguments(**arguments)
    with pytest.raises(ValueError, match=message):
        check_optimization_arguments(**(arguments | changed))
