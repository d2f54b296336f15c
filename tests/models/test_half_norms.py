from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.device_traffic import DeviceTraffic
from tests.techniques.small_lora import small_batch, small_module


def _as_on_a_gpu(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Do what a GPU's autocast does to norms, which a CPU's does not: float32, input and result."""

    def in_float32(*arguments: Any, **options: Any) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            arguments = tuple(
                each.float() if isinstance(each, Tensor) else each for each in arguments
            )
        return function(*arguments, **options)

    return in_float32


@pytest.fixture
def norms_as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("group_norm", "layer_norm"):
        monkeypatch.setattr(F, name, _as_on_a_gpu(getattr(F, name)))


@pytest.mark.slow
@pytest.mark.usefixtures("norms_as_on_a_gpu")
def test_norms_of_a_half_base_cost_no_copies(tiny_sd: Path) -> None:
    module = small_module(tiny_sd)
    module.model.set_dtype(torch.bfloat16)
    batch = small_batch()
    module._prompts.remember(batch["caption"], module.encode)
    norms = [
        each
        for each in module.model.unet.modules()
        if isinstance(each, nn.GroupNorm | nn.LayerNorm)
    ]

    def losses() -> tuple[Tensor, DeviceTraffic]:
        with torch.autocast("cpu", torch.bfloat16), DeviceTraffic() as traffic:
            return module.training_losses(batch, number=0)[0].detach(), traffic

    found, traffic = losses()
    for each in norms:
        del each.forward  # as autocast has it
    expected, before = losses()
    # input, weight and bias of each, and back at the next layer
    assert before.dtype_copies - traffic.dtype_copies > 3 * len(norms)
    torch.testing.assert_close(found, expected, rtol=2e-2, atol=0)


def test_norms_that_are_float32_stay_autocasts(tiny_sd: Path) -> None:
    module = small_module(tiny_sd)
    norms = [
        each
        for each in module.model.unet.modules()
        if isinstance(each, nn.GroupNorm | nn.LayerNorm)
    ]
    assert norms
    assert not any("forward" in vars(each) for each in norms)
