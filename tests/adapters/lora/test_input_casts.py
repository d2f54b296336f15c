from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sdtune.adapters.lora.layers import lora_layers
from sdtune.techniques.base import DiffusionFineTuningModule
from tests.device_traffic import DeviceTraffic
from tests.techniques.every_technique import LYCORIS, TECHNIQUES
from tests.techniques.small_lora import small_batch

_BUILDS = {**{name: TECHNIQUES[name] for name in ("lora", "dora", "dropout")}, **LYCORIS}


@pytest.mark.parametrize("name", _BUILDS)
def test_no_bit_changes_and_copies_are_saved(micro_sd: Path, name: str) -> None:
    module = _BUILDS[name](str(micro_sd))
    module.load_base(torch.bfloat16)
    module._prompts.remember(small_batch()["caption"], module.encode)
    with torch.no_grad():
        for each in module.parameters():
            each.add_(0.01)  # so that the update counts
    losses, gradients, copies = _step(module)
    for layer in lora_layers(module.model).values():
        vars(layer).pop("_cast_input_dtype", None)  # PEFT's own
    expected, expected_gradients, more_copies = _step(module)
    assert torch.equal(losses, expected)
    assert all(map(torch.equal, gradients, expected_gradients))
    if name == "lora":
        assert copies < 0.6 * more_copies
    else:
        assert copies <= more_copies


def test_without_autocast_the_matrices_are_float32_as_ever(micro_sd: Path) -> None:
    module = TECHNIQUES["lora"](str(micro_sd))
    module.load_base(torch.bfloat16)
    layer = next(iter(lora_layers(module.model.unet).values()))
    width = layer.get_base_layer().in_features
    output = layer(torch.ones(1, width, dtype=torch.bfloat16))
    assert output.dtype == torch.bfloat16


def _step(module: DiffusionFineTuningModule) -> tuple[Tensor, list[Tensor], int]:
    """Give losses, gradients and casts of a step."""
    module.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), DeviceTraffic() as traffic:
        losses, _ = module.training_losses(small_batch(), number=0)
        losses.mean().backward()
    gradients = [each.grad.clone() for each in module.parameters() if each.grad is not None]
    return losses.detach(), gradients, traffic.dtype_copies
