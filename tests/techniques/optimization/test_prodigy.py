"""Prodigy estimates for each group alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn import Parameter

from sdtune.techniques.optimization import build_optimizer

prodigyopt = pytest.importorskip("prodigyopt")


def test_each_group_trains_as_it_would_alone() -> None:
    """Groups of different sizes and rates: each is bit for bit what prodigyopt makes of it."""

    def parameters() -> list[Parameter]:
        return [Parameter(torch.full((4,), 2.0)), Parameter(torch.full((300,), 0.1))]

    together, alone, rates = parameters(), parameters(), (1.0, 0.25)
    groups = [{"params": [each], "lr": rate} for each, rate in zip(together, rates, strict=True)]
    optimizers = [build_optimizer("prodigy", groups, 0.01)] + [
        prodigyopt.Prodigy([each], lr=rate, weight_decay=0.01)
        for each, rate in zip(alone, rates, strict=True)
    ]
    for _ in range(20):
        for each in together + alone:
            each.grad = 2 * (each.detach() - 1)
        for optimizer in optimizers:
            optimizer.step()
    for one, other in zip(together, alone, strict=True):
        assert one.equal(other)
    estimates = [group["d"] for group in optimizers[0].param_groups]
    assert estimates[0] > 2 * estimates[1] > 0
