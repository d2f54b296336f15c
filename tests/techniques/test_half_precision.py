"""Training in half precision follows training in float32."""

from __future__ import annotations

import pytest
import torch

from sdtune.techniques.lora_style import LoRAStyleModule

_STEPS = 200


@pytest.mark.slow
def test_bfloat16_follows_float32_for_200_steps() -> None:
    expected, found = _losses(torch.float32), _losses(torch.bfloat16)
    # each loss is of another noise and timestep; both runs draw the same
    apart = (found - expected).abs() / expected
    assert apart.median() < 0.01
    assert apart.max() < 0.1
    assert abs(found[-50:].mean() / expected[-50:].mean() - 1.0) < 0.005
    assert expected[-50:].mean() < 0.8 * expected[:50].mean(), "nothing was learned"


def _losses(dtype: torch.dtype) -> torch.Tensor:
    """Give the loss of each step: learn four latents by heart, one a step."""
    few = ["to_q", "to_v"]  # two thirds of the time
    module = LoRAStyleModule("nano", rank=8, target_modules=few, learning_rate=1e-3)
    module.load_base(dtype)
    size = module.model.unet.config["sample_size"] // 4  # a fifth of the time
    channels = 2 * module.model.latent_channels
    generator = torch.Generator().manual_seed(0)
    moments = torch.randn(4, channels, size, size, generator=generator)
    moments[:, channels // 2 :] = -20.0  # hardly any variance
    captions = [f"picture {number}" for number in range(4)]
    module._prompts.remember(captions, module.encode)
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-3, fused=True)
    losses = []
    for step in range(_STEPS):
        row = step % 4
        batch = {
            "moments": moments[row : row + 1],
            "caption": captions[row : row + 1],
            "index": [step],  # noise and a timestep of its own
        }
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = module.training_losses(batch, number=0)[0].mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return torch.tensor(losses)
