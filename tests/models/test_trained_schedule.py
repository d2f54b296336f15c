from __future__ import annotations

import json
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, LCMScheduler

from sdtune.models.shipped import shipped_folder
from sdtune.models.trained_schedule import read_trained_schedule, retold

SHIPPED = [
    "stable_diffusion_1",
    "stable_diffusion_2",
    "stable_diffusion_2_base",
    "stable_diffusion_xl",
]


def _shipped(name: str) -> Any:
    path = shipped_folder(name) / "scheduler" / "scheduler_config.json"
    config = json.loads(path.read_text())
    return getattr(diffusers, config["_class_name"]).from_config(config)


def _trained(noise_scheduler: Any) -> DDPMScheduler:
    return DDPMScheduler.from_config(read_trained_schedule(noise_scheduler.config))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_told_outlasts_the_next_scheduler(name: str) -> None:
    """A value that is only registered is dropped where the configuration lacks its name."""
    made = retold(_shipped(name), {"rescale_betas_zero_snr": True})
    assert type(made) is type(_shipped(name))
    assert _trained(made).alphas_cumprod[-1] == 0
    assert _trained(_shipped(name)).alphas_cumprod[-1] == pytest.approx(0.00466, rel=1e-3)


def test_all_configurations_that_are_shipped_are_tried() -> None:
    assert {path.parent.name for path in shipped_folder("").glob("*/scheduler")} == set(SHIPPED)


def test_betas_that_a_class_fills_in_are_read() -> None:
    """DDPM's own defaults are others."""
    trained = _trained(LCMScheduler.from_config({}))
    torch.testing.assert_close(trained.alphas_cumprod, LCMScheduler().alphas_cumprod)
    assert trained.config.beta_schedule == "scaled_linear"


def test_no_option_of_the_sampler_is_read() -> None:
    config = {"use_karras_sigmas": True, "timestep_spacing": "trailing", "steps_offset": 1}
    schedule = read_trained_schedule(EulerDiscreteScheduler.from_config(config).config)
    assert (schedule["timestep_spacing"], schedule["steps_offset"]) == ("trailing", 1)
    assert "use_karras_sigmas" not in schedule
    spacing = read_trained_schedule(EulerDiscreteScheduler().config).get("timestep_spacing")
    assert spacing is None  # each sampler has its own default
