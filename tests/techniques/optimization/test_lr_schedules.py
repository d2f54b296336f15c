"""Schedules rise once and fall once, also when a run becomes longer or shorter."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Callback
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from sdtune.techniques.optimization import LRScheduleName, build_lr_scheduler
from sdtune.techniques.optimization.lr_schedules import _FALLS, rate_factor
from tests.techniques.optimization.tiny_module import TinyModule, fit, rates_of


class _StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


def _stopped(folder: Path, at: int, **arguments: Any) -> tuple[TinyModule, Path]:
    """Train, stop before the end, and keep the checkpoint."""
    module = TinyModule(**arguments)
    trainer = fit(module, max_steps=10, callbacks=_StopAt(at))
    assert trainer.global_step == at
    trainer.save_checkpoint(folder / "last.ckpt")
    return module, folder / "last.ckpt"


def test_each_name_has_a_schedule() -> None:
    assert set(get_args(LRScheduleName)) == set(_FALLS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("constant", [0.0, 0.5, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.0, 0.5, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.0, 0.5, 1.0, *((1 + math.cos(math.pi * k / 4)) / 2 for k in (1, 2, 3))]),
    ],
)
def test_schedules_rise_and_fall(name: LRScheduleName, expected: list[float]) -> None:
    optimizer = torch.optim.SGD([Parameter(torch.zeros(1))], lr=1.0)
    lr_scheduler = build_lr_scheduler(name, optimizer, warmup_steps=2, max_steps=6)
    rates = []
    for _ in expected:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        lr_scheduler.step()
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("name", get_args(LRScheduleName))
@pytest.mark.parametrize(("warmup_steps", "max_steps"), [(0, 7), (3, 11), (0, 1), (20, 372)])
def test_schedules_equal_those_of_transformers_to_the_last_bit(
    name: LRScheduleName, warmup_steps: int, max_steps: int
) -> None:
    from transformers import get_scheduler

    optimizer = torch.optim.SGD([Parameter(torch.zeros(1))], lr=3e-4)
    theirs = get_scheduler(
        "constant_with_warmup" if name == "constant" else name,
        optimizer,
        num_warmup_steps=warmup_steps,
        num_training_steps=max_steps,
    ).lr_lambdas[0]
    for step in range(max_steps + 1):
        assert rate_factor(name, step, warmup_steps, max_steps) == theirs(step)


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("max_steps", [6, 8, 10, 15, 40])
def test_a_resumed_run_of_another_length_never_rises_after_the_warmup(
    name: LRScheduleName, max_steps: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arguments = {"lr_schedule": name, "warmup_steps": 2, "learning_rate": 1e-2}
    before, path = _stopped(tmp_path, at=5, **arguments)
    after = TinyModule(**arguments)
    fit(after, max_steps=max_steps, ckpt_path=path)
    reached = rate_factor(name, 5, 2, 10)
    expected = [
        1e-2 * min(reached, rate_factor(name, step, 2, max_steps)) for step in range(5, max_steps)
    ]
    assert rates_of(after) == pytest.approx(expected)
    rates = rates_of(before) + rates_of(after)
    assert all(one >= other for one, other in pairwise(rates[2:]))
    if max_steps == 10:
        assert rates_of(after) == expected
    told = any(f"ends at step {max_steps} instead of 10" in each for each in caplog.messages)
    assert told == (max_steps != 10)


def test_a_longer_run_that_is_killed_and_resumed_equals_itself(tmp_path: Path) -> None:
    arguments = {"lr_schedule": "cosine", "warmup_steps": 2}
    _, path = _stopped(tmp_path, at=6, **arguments)
    whole, first, second = (TinyModule(**arguments) for _ in range(3))
    fit(whole, max_steps=20, ckpt_path=path)
    trainer = fit(first, max_steps=20, ckpt_path=path, callbacks=_StopAt(8))
    trainer.save_checkpoint(tmp_path / "killed.ckpt")
    fit(second, max_steps=20, ckpt_path=tmp_path / "killed.ckpt")
    assert rates_of(whole) == rates_of(first) + rates_of(second)
    assert whole.first.weight.equal(second.first.weight)


def test_a_run_in_its_warmup_rises_on_when_it_becomes_longer(tmp_path: Path) -> None:
    _, path = _stopped(tmp_path, at=2, lr_schedule="cosine", warmup_steps=4)
    after = TinyModule(lr_schedule="cosine", warmup_steps=4)
    fit(after, max_steps=12, ckpt_path=path)
    expected = [1e-2 * rate_factor("cosine", step, 4, 12) for step in range(2, 12)]
    assert rates_of(after) == expected


def test_a_run_that_came_down_to_0_is_not_extended_by_the_same_schedule(tmp_path: Path) -> None:
    _, path = _stopped(tmp_path, at=10, lr_schedule="cosine")
    fit(TinyModule(lr_schedule="cosine"), max_steps=10, ckpt_path=path)  # nothing is left to do
    with pytest.raises(
        ValueError, match=r"`cosine` came down to 0 at its end, step 10.*`constant`"
    ):
        fit(TinyModule(lr_schedule="cosine"), max_steps=20, ckpt_path=path)
    after = TinyModule(lr_schedule="constant", learning_rate=1e-3)
    fit(after, max_steps=12, ckpt_path=path)
    assert rates_of(after) == [1e-3, 1e-3]


def test_the_rates_of_the_recipe_take_the_place_of_the_checkpoints(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, path = _stopped(tmp_path, at=5, learning_rate=1e-2)
    after = TinyModule(learning_rate=1e-3)
    fit(after, max_steps=7, ckpt_path=path)
    assert rates_of(after) == [1e-3, 1e-3]
    assert "Learning rate from step 5 on: 0.001 (before: 0.01), `constant`." in caplog.messages


def test_states_of_transformers_schedules_are_read() -> None:
    """Of checkpoints that earlier versions wrote."""
    optimizer = torch.optim.SGD([Parameter(torch.zeros(1))], lr=1.0)
    old = LambdaLR(optimizer, lambda step: rate_factor("cosine", step, 0, 10))
    for _ in range(4):
        optimizer.step()
        old.step()
    for max_steps, expected in ((10, rate_factor("cosine", 4, 0, 10)), (20, old.get_last_lr()[0])):
        new = build_lr_scheduler(
            "cosine", torch.optim.SGD([Parameter(torch.zeros(1))], lr=1.0), 0, max_steps
        )
        new.load_state_dict(old.state_dict())
        assert new.optimizer.param_groups[0]["lr"] == expected == new.get_last_lr()[0]
