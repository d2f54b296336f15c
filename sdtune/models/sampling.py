"""Pictures from prompts, by classifier-free guidance, with a seed per picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune.functional.randomness import Stream, counter_generator
from sdtune.models.conditioning import aligned
from sdtune.models.noise_schedulers import (
    NoiseSchedulerName,
    check_noise_scheduler,
    make_noise_scheduler,
)
from sdtune.models.stable_diffusion import StableDiffusion

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

__all__ = ["DRAWN_AT_ONCE", "initial_noise", "sample"]

DRAWN_AT_ONCE = 8
"""Pictures that are drawn in one batch."""


def sample(
    model: StableDiffusion,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    num_inference_steps: int = 25,
    guidance_scale: float = 7.5,
    negative_prompt: str = "",
    height: int | None = None,
    width: int | None = None,
    noise_scheduler: NoiseSchedulerName = "dpm++",
    clip_skip: int = 1,
    batch_size: int = DRAWN_AT_ONCE,
    on_step: Callable[[], object] | None = None,
) -> Tensor:
    """Draw one picture per prompt (Ho & Salimans 2022, https://arxiv.org/abs/2207.12598).

    A picture depends on its own prompt and seed alone. In another batch it is the same up to
    floating-point rounding, because matrix products of other shapes are summed in another order.

    Args:
        model: The base, with whatever adapters are active. Its training modes are put back.
        prompts: B texts.
        seeds: One seed per prompt.
        num_inference_steps: Steps of the noise scheduler.
        guidance_scale: How far from the negative prompt's prediction to go, through the
            prompt's. 1 is the conditional model itself, and costs half as much.
        negative_prompt: What to go away from.
        height: Pixels, divisible by `model.vae_scale_factor`; None for the model's own.
        width: Likewise.
        noise_scheduler: See `make_noise_scheduler`.
        clip_skip: Text encoder layer, counted from the end, as in training.
        batch_size: Pictures drawn at once, which bounds memory.
        on_step: Called after every step of a batch; what it raises ends the drawing.

    Returns:
        (B, 3, H, W) float32 in [0, 1], on the VAE's device.

    Raises:
        ValueError: If arguments are out of range or the seeds do not match the prompts.
    """
    height, width = (model.resolution if each is None else each for each in (height, width))
    check_all(
        lambda: check_noise_scheduler(noise_scheduler),
        lambda: _check_prompts(prompts, seeds),
        lambda: check_positive("num_inference_steps", num_inference_steps, of="integer"),
        lambda: check_not_negative("guidance_scale", guidance_scale),
        lambda: check_positive("batch_size", batch_size, of="integer"),
        lambda: _check_sides(model.vae_scale_factor, height=height, width=width),
    )
    noise = initial_noise(model, seeds, height, width).to(model.device)
    # of those schedulers that add noise, for each picture by itself
    generators = [counter_generator(seed, Stream.SAMPLING) for seed in seeds]
    pipeline = _denoiser(model, noise_scheduler)
    images = []
    with torch.inference_mode(), _evaluation_mode(model), _float32_between_steps(model):
        negative = None
        if guidance_scale != 1.0:
            negative = model.encode_negative_prompt(negative_prompt, clip_skip)
            negative = negative.to(model.device, model.dtype)
        for batch in (slice(n, n + batch_size) for n in range(0, len(prompts), batch_size)):
            wanted = model.encode_prompts(prompts[batch], clip_skip)
            wanted = wanted.to(model.device, model.dtype)
            unwanted = None if negative is None else negative[[0] * len(wanted)]
            if unwanted is not None:
                wanted, unwanted = aligned(wanted, unwanted)
            latents = pipeline(
                **model.family.call_arguments(wanted, unwanted, height, width),
                latents=noise[batch],
                generator=generators[batch],
                callback_on_step_end=None if on_step is None else _Told(on_step),
                num_inference_steps=num_inference_steps,
                guidance_scale=guidance_scale,
                output_type="latent",
            ).images
            images.append(model.decode_latents(latents))
    # outside inference mode `cat` makes an ordinary tensor, which callers may write to
    return torch.cat(images)


def initial_noise(model: StableDiffusion, seeds: Sequence[int], height: int, width: int) -> Tensor:
    """Draw the noise that sampling starts from.

    Args:
        model: The base, for the shape of its latents.
        seeds: One seed per picture.
        height: Pixels, divisible by `model.vae_scale_factor`.
        width: Likewise.

    Returns:
        (B, C, h, w) float32 standard normal on the CPU; equal seeds give equal bits.
    """
    factor = model.vae_scale_factor
    shape = (model.latent_channels, height // factor, width // factor)
    return torch.stack([torch.randn(shape, generator=counter_generator(seed)) for seed in seeds])


class _Told:
    """Tells of a step, as a pipeline's callback, and changes nothing."""

    def __init__(self, on_step: Callable[[], object]) -> None:
        self._on_step = on_step

    def __call__(
        self, pipeline: Any, step: int, timestep: Any, inputs: dict[str, Any]
    ) -> dict[str, Any]:
        self._on_step()
        return inputs


class _GuidedAtAnyScale:
    """Guides at scales below 1 too, which diffusers' pipelines take for no guidance."""

    guidance_scale: float
    unet: UNet2DConditionModel

    @property
    def do_classifier_free_guidance(self) -> bool:
        return self.guidance_scale != 1.0 and self.unet.config["time_cond_proj_dim"] is None


def _denoiser(model: StableDiffusion, noise_scheduler: NoiseSchedulerName) -> Callable[..., Any]:
    """Make the family's pipeline over the UNet alone: prompts and pictures are coded outside.

    So it follows the UNet wherever the other parts are, and the VAE has its own bounds.
    """
    family = model.family
    pipeline_class = type(family.pipeline_name, (_GuidedAtAnyScale, family.pipeline_class()), {})
    names = ("vae", "scheduler", *family.text_encoder_names, *family.tokenizer_names)
    pipeline: Any = cast(Any, pipeline_class)(
        unet=model.unet, **dict.fromkeys(names), **family.pipeline_options
    )
    # afterwards, because the constructor changes configurations that it holds to be outdated
    pipeline.scheduler = make_noise_scheduler(noise_scheduler, model.noise_scheduler)
    pipeline.set_progress_bar_config(disable=True)
    draw: Callable[..., Any] = pipeline
    return draw


@contextmanager
def _float32_between_steps(model: StableDiffusion) -> Iterator[None]:
    """Let the noise scheduler step in float32, whatever the UNet computes in."""

    def cast_inputs(unet: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].to(model.dtype), *inputs[1:])

    def cast_outputs(unet: nn.Module, inputs: Any, outputs: tuple[Tensor, ...]) -> Any:
        return tuple(each.float() for each in outputs)

    hooks = [
        model.unet.register_forward_pre_hook(cast_inputs),
        model.unet.register_forward_hook(cast_outputs),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _evaluation_mode(module: nn.Module) -> Iterator[None]:
    training = [each for each in module.modules() if each.training]
    module.eval()
    try:
        yield
    finally:
        for each in training:
            each.training = True


def _check_prompts(prompts: Sequence[str], seeds: Sequence[int]) -> None:
    if not prompts or isinstance(prompts, str):
        raise ValueError(f"Expected `prompts` to be a list of texts, but got {prompts!r}.")
    if len(seeds) != len(prompts):
        raise ValueError(
            f"Expected `seeds` to hold one seed per prompt, {len(prompts)}, but got {len(seeds)}."
        )


def _check_sides(factor: int, **sides: int) -> None:
    for name, pixels in sides.items():
        if pixels < 1 or pixels % factor:
            raise ValueError(
                f"Expected `{name}` to be a positive multiple of {factor}, but got {pixels}."
            )
