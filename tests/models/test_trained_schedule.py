from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers import DDPMScheduler, EulerDiscreteScheduler, LCMScheduler

from sdtune.models.shipped import shipped_folder
from sdtune.models.trained_schedule import (
    SCHEDULER_CONFIG,
    check_trained_schedule,
    read_trained_schedule,
    retold,
)

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


BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _check(folder: Path, config: object, index: object = "PNDMScheduler") -> None:
    (folder / "scheduler.json").write_text(json.dumps(config))
    (folder / "index.json").write_text(json.dumps({"scheduler": ["diffusers", index]}))
    check_trained_schedule(folder / "index.json", folder / "scheduler.json", "someone/base")


@pytest.mark.parametrize(
    ("config", "what"),
    [
        ({"_class_name": "EDMEulerScheduler", "sigma_data": 0.5}, r"EDM \(EDMEulerScheduler\)"),
        ({"_class_name": "EDMDPMSolverMultistepScheduler"}, r"EDM \(EDMDPMSolver"),
        ({**BETAS, "sigma_data": 1.0}, r"EDM \(`sigma_data`\)"),
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, r"flow matching \(FlowMatchHeun"),
        ({**BETAS, "use_flow_sigmas": True}, r"flow matching \(`use_flow_sigmas`\)"),
    ],
)
def test_other_noise_processes_are_refused_by_name(
    tmp_path: Path, config: dict[str, Any], what: str
) -> None:
    match = rf"someone/base is trained by {what}.*, as .*scheduler\.json says, which sdtune"
    with pytest.raises(ValueError, match=match):
        _check(tmp_path, config)


def test_the_class_that_is_loaded_counts_too(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"EDM \(EDMEulerScheduler\)"):
        _check(tmp_path, BETAS, "EDMEulerScheduler")


@pytest.mark.parametrize("prediction_type", ["flow_prediction", "trigflow", None, ["epsilon"]])
def test_what_cannot_be_predicted_is_refused(tmp_path: Path, prediction_type: object) -> None:
    config = {**BETAS, "prediction_type": prediction_type}
    with pytest.raises(ValueError, match=r"`prediction_type` in .* one of `epsilon`, `v_pred"):
        _check(tmp_path, config)


@pytest.mark.parametrize(
    ("config", "index"),
    [
        ({}, "PNDMScheduler"),
        ({}, "IPNDMScheduler"),
        ({}, "NoScheduler"),
        ({"trained_betas": None, "beta_start": 0.00085}, "DDIMScheduler"),
    ],
)
def test_betas_that_nothing_tells_are_asked_for(
    tmp_path: Path, config: dict[str, Any], index: str
) -> None:
    with pytest.raises(ValueError, match=r"neither `beta_start` and `beta_end` nor `trained_be"):
        _check(tmp_path, {"_class_name": index, **config}, index)


@pytest.mark.parametrize(
    ("config", "index"),
    [
        (BETAS, "DDIMScheduler"),
        ({**BETAS, "use_flow_sigmas": False, "sigma_data": None}, "DPMSolverMultistepScheduler"),
        ({"beta_start": 0.00085, "beta_end": 0.012}, "DDPMScheduler"),
        ({"trained_betas": [0.1, 0.2]}, "PNDMScheduler"),
        ({}, "LCMScheduler"),
    ],
)
def test_what_diffusers_fills_in_may_be_left_out(
    tmp_path: Path, config: dict[str, Any], index: str
) -> None:
    _check(tmp_path, config, index)


@pytest.mark.parametrize("name", SHIPPED)
def test_configurations_that_are_shipped_pass(name: str) -> None:
    folder = shipped_folder(name)
    check_trained_schedule(folder / "model_index.json", folder / SCHEDULER_CONFIG, name)


def test_a_configuration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"scheduler\.json cannot be read: it is not a JSON obj"):
        _check(tmp_path, [])
