from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from diffusers import DDPMScheduler

from sdtune.models import NoiseSchedulerName, check_noise_scheduler, make_noise_scheduler

NAMES: tuple[NoiseSchedulerName, ...] = get_args(NoiseSchedulerName)
NOISY = ("dpm++_sde", "dpm++_sde_karras", "euler_a")


@pytest.mark.parametrize("name", NAMES)
def test_the_trained_schedule_is_kept(name: NoiseSchedulerName) -> None:
    trained = DDPMScheduler(
        num_train_timesteps=500,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
    )
    made = make_noise_scheduler(name, trained)
    assert made.config.prediction_type == "v_prediction"
    torch.testing.assert_close(made.alphas_cumprod, trained.alphas_cumprod)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NOISY])
def test_steps_draw_nothing(name: NoiseSchedulerName) -> None:
    """The same picture at every place of a batch stays the same picture."""
    made = make_noise_scheduler(name, DDPMScheduler(clip_sample=True))
    made.set_timesteps(4)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(2, 1, 1, 1)
    before = torch.get_rng_state()
    for timestep in made.timesteps:
        model_pred = made.scale_model_input(latents, timestep)
        latents = made.step(model_pred, timestep, latents).prev_sample
    assert torch.equal(latents[0], latents[1])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", NOISY)
def test_each_picture_gets_noise_of_its_own_generator(name: NoiseSchedulerName) -> None:
    made = make_noise_scheduler(name, DDPMScheduler())
    made.set_timesteps(4)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(3, 1, 1, 1)
    generators = [torch.Generator().manual_seed(seed) for seed in (5, 6, 5)]
    before = torch.get_rng_state()
    for timestep in made.timesteps:
        model_pred = made.scale_model_input(latents, timestep)
        latents = made.step(model_pred, timestep, latents, generator=generators).prev_sample
    assert torch.equal(latents[0], latents[2])
    assert not torch.equal(latents[0], latents[1])
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", NAMES)
def test_zero_terminal_snr_starts_from_the_last_timestep(name: NoiseSchedulerName) -> None:
    made = make_noise_scheduler(name, DDPMScheduler(rescale_betas_zero_snr=True))
    made.set_timesteps(10)
    assert int(made.timesteps[0]) == 999


def test_ddim_does_not_clip_latents() -> None:
    assert make_noise_scheduler("ddim", DDPMScheduler(clip_sample=True)).config.clip_sample is False


LEAKS = [
    {"algorithm_type": "sde-dpmsolver++", "solver_order": 3, "solver_type": "heun"},
    {"use_karras_sigmas": True},
    {"use_beta_sigmas": True},
    {"use_exponential_sigmas": True},
    {"use_lu_lambdas": True},
    {"final_sigmas_type": "sigma_min", "euler_at_final": True, "lower_order_final": False},
    {"thresholding": True, "clip_sample": True, "timestep_type": "continuous", "predict_x0": False},
]


@pytest.mark.parametrize("own", LEAKS, ids=lambda own: next(iter(own)))
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_one_sampler_whatever_the_base_s_own(
    name: NoiseSchedulerName, zero_terminal_snr: bool, own: dict[str, Any]
) -> None:
    trained = DDPMScheduler(
        rescale_betas_zero_snr=zero_terminal_snr, prediction_type="v_prediction"
    )
    others = DDPMScheduler.from_config(trained.config, **own)
    others.register_to_config(**own)
    assert own.items() <= others.config.items()
    schedulers = [make_noise_scheduler(name, each) for each in (trained, others)]
    latents = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    ends = []
    for each in schedulers:
        each.set_timesteps(4)
        drawn = latents
        generator = torch.Generator().manual_seed(1)
        options = {} if name not in NOISY else {"generator": generator}
        for timestep in each.timesteps:
            model_pred = each.scale_model_input(latents, timestep)
            drawn = each.step(model_pred, timestep, drawn, **options).prev_sample
        ends.append(drawn)
    assert torch.equal(schedulers[0].timesteps, schedulers[1].timesteps)
    assert torch.equal(ends[0], ends[1])
    assert ends[0].isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_karras_sigmas_are_those_of_the_names_that_say_so(name: NoiseSchedulerName) -> None:
    trained = DDPMScheduler()
    trained.register_to_config(use_karras_sigmas=True)
    made = make_noise_scheduler(name, trained)
    assert bool(made.config.get("use_karras_sigmas")) == name.endswith("_karras")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"one of `dpm\+\+`, .*, `euler_a`, `unipc`, but got `ddpm`"
    ):
        check_noise_scheduler("ddpm")
