from __future__ import annotations

from typing import get_args

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from sdtune.functional.diffusion import (
    PredictionType,
    add_noise,
    min_snr_weights,
    snr,
    target_slope,
    training_target,
)

PREDICTION_TYPES: tuple[PredictionType, ...] = get_args(PredictionType)


@pytest.fixture(params=[False, True], ids=["plain", "zero_terminal_snr"])
def noise_scheduler(request: pytest.FixtureRequest) -> DDPMScheduler:
    return DDPMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        rescale_betas_zero_snr=request.param,
    )


@pytest.fixture
def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(2, 6, 4, 8, 8, generator=generator)
    return latents, noise, torch.tensor([0, 1, 250, 500, 998, 999])


def _implied_latents(
    model_pred: Tensor,
    noisy_latents: Tensor,
    timesteps: Tensor,
    alphas_cumprod: Tensor,
    prediction_type: PredictionType,
) -> Tensor:
    """Solve the target's formula for x_0."""
    signal = alphas_cumprod[timesteps][:, None, None, None]
    alpha_t, sigma_t = signal.sqrt(), (1.0 - signal).sqrt()
    if prediction_type == "epsilon":
        return (noisy_latents - sigma_t * model_pred) / alpha_t
    if prediction_type == "v_prediction":
        return alpha_t * noisy_latents - sigma_t * model_pred
    return model_pred


def test_noise_and_velocity_equal_diffusers(
    noise_scheduler: DDPMScheduler, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    alphas_cumprod = noise_scheduler.alphas_cumprod
    torch.testing.assert_close(add_noise(*batch, alphas_cumprod), noise_scheduler.add_noise(*batch))
    torch.testing.assert_close(
        training_target(*batch, alphas_cumprod, "v_prediction"),
        noise_scheduler.get_velocity(*batch),
    )


def test_the_other_targets_are_the_noise_and_the_latents(
    noise_scheduler: DDPMScheduler, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    latents, noise, _ = batch
    alphas_cumprod = noise_scheduler.alphas_cumprod
    assert torch.equal(training_target(*batch, alphas_cumprod, "epsilon"), noise)
    assert torch.equal(training_target(*batch, alphas_cumprod, "sample"), latents)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_a_perfect_prediction_gives_the_latents_back(
    prediction_type: PredictionType, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    latents, _, timesteps = batch
    alphas_cumprod = DDPMScheduler().alphas_cumprod.double()
    latents, noise = latents.double(), batch[1].double()
    noisy_latents = add_noise(latents, noise, timesteps, alphas_cumprod)
    target = training_target(latents, noise, timesteps, alphas_cumprod, prediction_type)
    recovered = _implied_latents(target, noisy_latents, timesteps, alphas_cumprod, prediction_type)
    torch.testing.assert_close(recovered, latents, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_dtype(
    dtype: torch.dtype, batch: tuple[Tensor, Tensor, Tensor]
) -> None:
    latents, noise, timesteps = batch
    alphas_cumprod = DDPMScheduler().alphas_cumprod
    exact = add_noise(latents, noise, timesteps, alphas_cumprod)
    rounded = add_noise(latents.to(dtype), noise.to(dtype), timesteps, alphas_cumprod)
    assert rounded.dtype == dtype
    torch.testing.assert_close(rounded.float(), exact, atol=0.05, rtol=0.02)


def test_snr_equals_diffusers(noise_scheduler: DDPMScheduler) -> None:
    timesteps = torch.tensor([0, 10, 500, 999])
    torch.testing.assert_close(
        snr(timesteps, noise_scheduler.alphas_cumprod),
        compute_snr(noise_scheduler, timesteps),
        rtol=1e-3,
        atol=1e-7,
    )


def test_min_snr_weights_equal_their_formula() -> None:
    alphas_cumprod = torch.tensor([0.99, 5 / 6, 0.5, 0.1])  # SNR 99, 5, 1, 1/9
    timesteps = torch.arange(4)
    expected = {
        "epsilon": [5 / 99, 1.0, 1.0, 1.0],
        "v_prediction": [5 / 100, 5 / 6, 1 / 2, 1 / 10],
        "sample": [5.0, 5.0, 1.0, 1 / 9],
    }
    for prediction_type in PREDICTION_TYPES:
        weights = min_snr_weights(timesteps, alphas_cumprod, 5.0, prediction_type)
        torch.testing.assert_close(
            weights, torch.tensor(expected[prediction_type]), rtol=1e-4, atol=1e-6
        )


def test_weighted_losses_are_the_same_loss_on_the_latents(
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Whatever is predicted, Min-SNR weighs the implied error of x_0 by min(SNR, gamma)."""
    latents, noise = batch[0].double(), batch[1].double()
    timesteps = torch.tensor([50, 100, 300, 500, 700, 900])
    alphas_cumprod = DDPMScheduler().alphas_cumprod.double()
    noisy_latents = add_noise(latents, noise, timesteps, alphas_cumprod)
    losses = []
    for prediction_type in PREDICTION_TYPES:
        target = training_target(latents, noise, timesteps, alphas_cumprod, prediction_type)
        # an error of x_0 by 0.1 everywhere, seen as an error of this prediction
        one_off = _implied_latents(
            target + 1.0, noisy_latents, timesteps, alphas_cumprod, prediction_type
        )
        slope = (one_off - latents).mean(dim=(1, 2, 3))
        error = 0.1 / slope
        weights = min_snr_weights(timesteps, alphas_cumprod, 5.0, prediction_type)
        losses.append(weights * error**2)
    torch.testing.assert_close(losses[0], losses[2], rtol=1e-3, atol=0.0)
    torch.testing.assert_close(losses[1], losses[2], rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_weights_are_finite_at_zero_terminal_snr(prediction_type: PredictionType) -> None:
    alphas_cumprod = DDPMScheduler(rescale_betas_zero_snr=True).alphas_cumprod
    timesteps = torch.tensor([999])
    assert snr(timesteps, alphas_cumprod).item() == 0.0
    weights = min_snr_weights(timesteps, alphas_cumprod, 5.0, prediction_type)
    assert weights.item() == (1.0 if prediction_type == "epsilon" else 0.0)


def test_bad_arguments_are_refused(batch: tuple[Tensor, Tensor, Tensor]) -> None:
    alphas_cumprod = DDPMScheduler().alphas_cumprod
    with pytest.raises(ValueError, match="one of `epsilon`, `v_prediction`, `sample`, but got `v`"):
        training_target(*batch, alphas_cumprod, "v")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`gamma` to be a positive number, but got 0"):
        min_snr_weights(batch[2], alphas_cumprod, 0.0, "epsilon")


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_the_slope_is_the_targets_derivative_beside_fixed_noisy_latents(
    prediction_type: PredictionType,
    noise_scheduler: DDPMScheduler,
    batch: tuple[Tensor, Tensor, Tensor],
) -> None:
    latents, noise, timesteps = batch
    alphas_cumprod = noise_scheduler.alphas_cumprod.double()
    signal = alphas_cumprod[timesteps][:, None, None, None]
    noisy = signal.sqrt() * latents + (1.0 - signal).sqrt() * noise

    def target(latents: Tensor) -> Tensor:
        added = (noisy - signal.sqrt() * latents) / (1.0 - signal).sqrt()
        return training_target(latents, added, timesteps, alphas_cumprod, prediction_type)

    _, derivative = torch.func.jvp(target, (latents.double(),), (torch.ones_like(noisy),))
    slopes = target_slope(timesteps, alphas_cumprod, prediction_type)
    torch.testing.assert_close(
        derivative.mean(dim=(1, 2, 3)), slopes.double(), rtol=1e-4, atol=1e-6
    )
