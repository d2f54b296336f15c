"""The forward diffusion process and what a network is asked to predict about it.

With `alpha_t` = sqrt(alphas_cumprod[t]) and `sigma_t` = sqrt(1 - alphas_cumprod[t]), noisy latents
are `x_t = alpha_t * x_0 + sigma_t * noise` (Ho et al. 2020, https://arxiv.org/abs/2006.11239).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = [
    "PredictionType",
    "add_noise",
    "min_snr_weights",
    "snr",
    "target_slope",
    "training_target",
]

PredictionType = Literal["epsilon", "v_prediction", "sample"]


def add_noise(latents: Tensor, noise: Tensor, timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Noise latents to the given timesteps.

    Args:
        latents: (B, C, h, w) scaled latents x_0.
        noise: (B, C, h, w) standard normal.
        timesteps: (B,) int64 in [0, T).
        alphas_cumprod: (T,) cumulative products of the noise schedule.

    Returns:
        (B, C, h, w) noisy latents x_t, in the dtype of `latents`.
    """
    alpha_t, sigma_t = _scales(timesteps, alphas_cumprod, latents)
    return alpha_t * latents + sigma_t * noise


def training_target(
    latents: Tensor,
    noise: Tensor,
    timesteps: Tensor,
    alphas_cumprod: Tensor,
    prediction_type: PredictionType,
) -> Tensor:
    """Compute what the UNet should output.

    Args:
        latents: (B, C, h, w) scaled latents x_0.
        noise: (B, C, h, w) the noise that was added to them.
        timesteps: (B,) int64 in [0, T).
        alphas_cumprod: (T,) cumulative products of the noise schedule.
        prediction_type: `epsilon` for the noise, `sample` for the latents, `v_prediction` for
            `alpha_t * noise - sigma_t * x_0` (Salimans & Ho 2022,
            https://arxiv.org/abs/2202.00512).

    Returns:
        (B, C, h, w) the target, in the dtype of `latents`.

    Raises:
        ValueError: If `prediction_type` is none of the three.
    """
    _check_prediction_type(prediction_type)
    if prediction_type == "epsilon":
        return noise
    if prediction_type == "sample":
        return latents
    alpha_t, sigma_t = _scales(timesteps, alphas_cumprod, latents)
    return alpha_t * noise - sigma_t * latents


def target_slope(
    timesteps: Tensor, alphas_cumprod: Tensor, prediction_type: PredictionType
) -> Tensor:
    """Say how much the target changes with the latents, while the noisy latents stay.

    As `noise` is (x_t - alpha_t * x_0) / sigma_t, each of the targets is linear in x_0.

    Args:
        timesteps: (B,) int64 in [0, T).
        alphas_cumprod: (T,) cumulative products of the noise schedule.
        prediction_type: What the UNet predicts.

    Returns:
        (B,) float32: -alpha_t / sigma_t for `epsilon`, -1 / sigma_t for `v_prediction`, 1 for
        `sample`.

    Raises:
        ValueError: If `prediction_type` is none of the three.
    """
    _check_prediction_type(prediction_type)
    like = torch.empty(len(timesteps), dtype=torch.float32, device=timesteps.device)
    alpha_t, sigma_t = _scales(timesteps, alphas_cumprod, like)
    if prediction_type == "epsilon":
        return -alpha_t / sigma_t
    return torch.ones_like(sigma_t) if prediction_type == "sample" else -1.0 / sigma_t


def snr(timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Compute the signal-to-noise ratio `alpha_t**2 / sigma_t**2` of timesteps.

    Args:
        timesteps: (B,) int64 in [0, T).
        alphas_cumprod: (T,) cumulative products of the noise schedule.

    Returns:
        (B,) float32, 0 or more; exactly 0 at the last step of a zero-terminal-SNR schedule.
    """
    signal = alphas_cumprod.to(timesteps.device, torch.float32)[timesteps]
    return signal / (1.0 - signal)


def min_snr_weights(
    timesteps: Tensor,
    alphas_cumprod: Tensor,
    gamma: float,
    prediction_type: PredictionType,
) -> Tensor:
    """Weigh the loss of each timestep by Min-SNR-gamma.

    The weight on the x_0 loss is min(SNR, gamma); an epsilon loss is SNR times, and a velocity
    loss SNR + 1 times, the x_0 loss, so they are divided by these (Hang et al. 2023,
    https://arxiv.org/abs/2303.09556).

    Args:
        timesteps: (B,) int64 in [0, T).
        alphas_cumprod: (T,) cumulative products of the noise schedule.
        gamma: Where the ratio is clipped; the paper uses 5.
        prediction_type: What the UNet predicts, hence which loss is weighed.

    Returns:
        (B,) float32: min(SNR, gamma) over SNR, SNR + 1 or 1 for `epsilon`, `v_prediction` or
        `sample`. Finite at zero terminal SNR, where the `epsilon` weight is its limit, 1.

    Raises:
        ValueError: If `gamma` is not positive or `prediction_type` is none of the three.
    """
    _check_prediction_type(prediction_type)
    if gamma <= 0:
        raise ValueError(f"Expected `gamma` to be a positive number, but got {gamma}.")
    ratio = snr(timesteps, alphas_cumprod)
    if prediction_type == "epsilon":
        return (gamma / ratio).clamp(max=1.0)  # min(SNR, gamma) / SNR, without its 0 / 0
    clipped = ratio.clamp(max=gamma)
    return clipped / (ratio + 1.0) if prediction_type == "v_prediction" else clipped


def _scales(timesteps: Tensor, alphas_cumprod: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    # the roots are taken in float32: in float16 sigma_t of the first steps would lose most digits
    signal = alphas_cumprod.to(like.device, torch.float32)[timesteps.to(like.device)]
    signal = signal.reshape(-1, *[1] * (like.ndim - 1))  # (B,) -> (B, 1, 1, 1)
    return signal.sqrt().to(like.dtype), (1.0 - signal).sqrt().to(like.dtype)


def _check_prediction_type(prediction_type: str) -> None:
    if prediction_type not in get_args(PredictionType):
        allowed = ", ".join(f"`{name}`" for name in get_args(PredictionType))
        raise ValueError(
            f"Expected `prediction_type` to be one of {allowed}, but got `{prediction_type}`."
        )
