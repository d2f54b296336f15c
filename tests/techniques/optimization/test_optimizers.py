"""Optimizers do what their names say, and each trains and resumes."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.nn import Parameter

from sdtune.techniques.optimization import OptimizerName, build_optimizer
from sdtune.techniques.optimization.optimizers import _OPTIMIZERS
from tests.techniques.optimization.tiny_module import TinyModule, fit, weights

NAMES = get_args(OptimizerName)
_PACKAGES = {"prodigy": "prodigyopt", "adamw_schedule_free": "schedulefree"}


def _skip_unless_installed(name: str) -> None:
    if name in _PACKAGES:
        pytest.importorskip(_PACKAGES[name])


def _distance_after(name: OptimizerName, learning_rate: float, steps: int = 60) -> float:
    """Minimise the distance from 1, and return how far it is still."""
    parameter = Parameter(torch.zeros(64, 128))
    optimizer = build_optimizer(name, [{"params": [parameter], "lr": learning_rate}], 0.0)
    for _ in range(steps):
        optimizer.zero_grad()
        (parameter - 1).square().sum().backward()
        optimizer.step()
    return float((parameter.detach() - 1).abs().mean())


def test_each_name_has_an_entry() -> None:
    assert set(NAMES) == set(_OPTIMIZERS)


@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_gets_closer(name: OptimizerName) -> None:
    _skip_unless_installed(name)
    distance = _distance_after(name, 1.0 if name == "prodigy" else 0.02)
    # at parameters near zero, Adafactor's own steps are tiny
    assert distance < (1.0 if name == "adafactor_relative_step" else 0.95)


@pytest.mark.parametrize("second_learning_rate", [None, 0.5], ids=["one_rate", "two_rates"])
@pytest.mark.parametrize("name", NAMES)
def test_every_optimizer_moves_all_and_resumes_bit_for_bit(
    name: OptimizerName, second_learning_rate: float | None, tmp_path: Path
) -> None:
    _skip_unless_installed(name)
    rate = 1.0 if name == "prodigy" else 1e-2
    second = None if second_learning_rate is None else second_learning_rate * rate

    def build() -> TinyModule:
        return TinyModule(name, rate, second, weight_decay=0.01)

    whole, first, second_half = build(), build(), build()
    before = weights(whole)
    fit(whole, max_steps=3)
    for key, value in weights(whole).items():
        assert not value.equal(before[key]), key
        assert value.isfinite().all(), key
    fit(first, max_steps=2).save_checkpoint(tmp_path / "last.ckpt")
    fit(second_half, max_steps=3, ckpt_path=tmp_path / "last.ckpt")
    for key, value in weights(whole).items():
        assert value.equal(weights(second_half)[key]), key


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    fit(TinyModule("adamw")).save_checkpoint(tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"trained with `optimizer` `adamw`.*nothing to `lion`"):
        fit(TinyModule("lion"), max_steps=2, ckpt_path=tmp_path / "last.ckpt")


def test_adafactor_obeys_the_learning_rate_given() -> None:
    slow, fast = (_distance_after("adafactor", rate, steps=5) for rate in (1e-4, 1e-2))
    assert 1 - fast == pytest.approx(100 * (1 - slow), rel=0.05)


def test_sgd_is_nesterovs() -> None:
    parameter = Parameter(torch.zeros(1))
    optimizer = build_optimizer("sgd_nesterov", [{"params": [parameter], "lr": 0.1}], 0.0)
    for _ in range(2):
        parameter.grad = torch.ones(1)
        optimizer.step()
    # velocities 1 and 1.9; each step is gradient + 0.9 * velocity
    assert float(parameter.detach()) == pytest.approx(-0.1 * (1.9 + 1 + 0.9 * 1.9))


def test_lion_takes_the_sign_of_its_momentum() -> None:
    generator = torch.Generator().manual_seed(0)
    expected, momentum = torch.randn(100, generator=generator), torch.zeros(100)
    parameter = Parameter(expected.clone())
    optimizer = build_optimizer("lion", [{"params": [parameter], "lr": 1e-2}], 0.1)
    for _ in range(4):
        gradient = torch.randn(100, generator=generator)
        parameter.grad = gradient.clone()
        optimizer.step()
        direction = torch.sign(0.9 * momentum + 0.1 * gradient)
        expected = expected * (1 - 1e-2 * 0.1) - 1e-2 * direction
        momentum = 0.99 * momentum + 0.01 * gradient
    torch.testing.assert_close(parameter.detach(), expected)
