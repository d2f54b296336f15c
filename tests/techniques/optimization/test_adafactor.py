"""Adafactor at its own rates shows them, before they are used."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger
from torch.nn import Parameter

from sdtune.techniques.optimization import build_optimizer
from tests.techniques.optimization.tiny_module import TinyModule, fit, rates_of


def test_the_rate_shown_is_the_one_that_is_used() -> None:
    generator = torch.Generator().manual_seed(0)
    parameter = Parameter(torch.randn(8, 8, generator=generator))
    groups = [{"params": [parameter], "lr": 123.0, "name": "a"}]
    optimizer = build_optimizer("adafactor_relative_step", groups, 0.0)
    for step in range(1, 4):
        shown = optimizer.param_groups[0]["lr"]
        size = float(parameter.detach().square().mean().sqrt())
        assert shown == pytest.approx(size * min(1e-2, step**-0.5))
        parameter.grad = torch.randn(8, 8, generator=generator)
        optimizer.step()
        used = optimizer._get_lr(optimizer.param_groups[0], optimizer.state[parameter])
        assert shown == pytest.approx(float(used))


def test_the_rates_given_are_ignored() -> None:
    runs = [TinyModule("adafactor_relative_step", rate) for rate in (1e-4, 1e-2)]
    for module in runs:
        fit(module, max_steps=3)
    assert runs[0].rates == runs[1].rates
    assert runs[0].first.weight.equal(runs[1].first.weight)


def test_the_curve_shows_the_rate(tmp_path: Path) -> None:
    module = TinyModule("adafactor_relative_step", 1e-4, 1e-4)
    logger = CSVLogger(tmp_path)
    fit(
        module,
        max_steps=3,
        logger=logger,
        callbacks=LearningRateMonitor("step"),
        log_every_n_steps=1,
    )
    rows = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    column = rows[0].split(",").index("lr-RelativeStepAdafactor/first")
    shown = [float(row.split(",")[column]) for row in rows[1:] if row.split(",")[column]]
    assert shown == pytest.approx(rates_of(module))
