from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from diffusers import StableDiffusionPipeline

from sdtune.functional.randomness import Stream, counter_generator
from sdtune.models import (
    NoiseSchedulerName,
    StableDiffusion,
    initial_noise,
    load,
    make_noise_scheduler,
    sample,
)
from tests import tiny_models
from tests.fast_part import some_fast
from tests.tiny_models import make_micro_sd

PROMPTS = ["a cat on a blue background", "two dogs", "a hat"]
NAMES: tuple[NoiseSchedulerName, ...] = get_args(NoiseSchedulerName)


@pytest.fixture(scope="module")
def model(micro_sd: Path) -> StableDiffusion:
    """A loaded model that no test changes; how it is drawn with does not depend on its layers."""
    return load(micro_sd)


@pytest.fixture(scope="module")
def micro_sd_v(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one with v-prediction and zero terminal SNR."""
    folder = make_micro_sd(tmp_path_factory.mktemp("models") / "micro_sd_v")
    tiny_models.make_noise_scheduler("v_prediction", True).save_pretrained(folder / "scheduler")
    index = folder / "model_index.json"
    index.write_text(index.read_text().replace("PNDMScheduler", "DDIMScheduler"))
    return folder


@pytest.fixture(scope="module")
def model_v(micro_sd_v: Path) -> StableDiffusion:
    """It, loaded, which no test changes."""
    return load(micro_sd_v)


@pytest.fixture(scope="module")
def pipeline(micro_sd: Path) -> StableDiffusionPipeline:
    """Diffusers' own, which no test changes."""
    return StableDiffusionPipeline.from_pretrained(micro_sd, safety_checker=None)


@pytest.mark.parametrize(
    ("name", "guidance_scale"),
    some_fast(
        # without guidance half of it is computed, by whichever noise scheduler: two that differ
        [*((name, 4.0) for name in NAMES), ("euler", 1.0), ("dpm++_sde", 1.0)],
        [(name, 4.0) for name in NAMES[:2]],
    ),
)
def test_pictures_equal_diffusers_pipeline(
    pipeline: StableDiffusionPipeline,
    model: StableDiffusion,
    name: NoiseSchedulerName,
    guidance_scale: float,
) -> None:
    peer = StableDiffusionPipeline(**pipeline.components, requires_safety_checker=False)
    peer.scheduler = make_noise_scheduler(name, peer.scheduler)
    peer.set_progress_bar_config(disable=True)
    theirs = peer(
        PROMPTS[:2],
        negative_prompt=["blurry"] * 2,
        latents=initial_noise(model, [1, 2], 64, 64),
        # of the noise schedulers that add some at each step
        generator=[counter_generator(seed, Stream.SAMPLING) for seed in [1, 2]],
        num_inference_steps=5,
        guidance_scale=guidance_scale,
        output_type="pt",
    ).images
    ours = sample(
        model,
        PROMPTS[:2],
        seeds=[1, 2],
        negative_prompt="blurry",
        num_inference_steps=5,
        guidance_scale=guidance_scale,
        noise_scheduler=name,
    )
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


def test_zero_terminal_snr_v_prediction_equals_diffusers(
    micro_sd_v: Path, model_v: StableDiffusion
) -> None:
    peer = StableDiffusionPipeline.from_pretrained(micro_sd_v, safety_checker=None)
    peer.scheduler = type(peer.scheduler).from_config(
        peer.scheduler.config, timestep_spacing="trailing"
    )
    peer.set_progress_bar_config(disable=True)
    theirs = peer(
        PROMPTS[:2],
        latents=initial_noise(model_v, [1, 2], 64, 64),
        num_inference_steps=5,
        guidance_scale=3.0,
        output_type="pt",
    ).images
    ours = sample(
        model_v,
        PROMPTS[:2],
        seeds=[1, 2],
        num_inference_steps=5,
        guidance_scale=3.0,
        noise_scheduler="ddim",
    )
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_zero_terminal_snr_stays_finite(model_v: StableDiffusion, name: NoiseSchedulerName) -> None:
    images = sample(model_v, PROMPTS[:1], seeds=[0], num_inference_steps=4, noise_scheduler=name)
    assert images.isfinite().all()
    assert images.std() > 0.01


@pytest.mark.slow
def test_a_picture_depends_on_its_prompt_and_seed_and_not_on_its_place(
    model: StableDiffusion,
) -> None:
    def draw(prompts: list[str], seeds: list[int], batch_size: int = 8) -> torch.Tensor:
        return sample(model, prompts, seeds=seeds, num_inference_steps=4, batch_size=batch_size)

    a, b, c = PROMPTS
    images = draw([a, b, c, a, a], [0, 1, 2, 0, 3])
    assert not torch.allclose(images[0], images[4], atol=1e-2)  # another seed
    assert not torch.allclose(images[0], draw([b], [0])[0], atol=1e-2)  # another prompt
    torch.testing.assert_close(images[0], images[3], atol=1e-4, rtol=0)
    torch.testing.assert_close(draw([a], [0])[0], images[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(draw([c, b], [2, 1])[1], images[1], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        draw([a, b, c, a, a], [0, 1, 2, 0, 3], batch_size=2), images, atol=1e-4, rtol=0
    )


def test_initial_noise_is_bit_equal_in_any_batch(model: StableDiffusion) -> None:
    together = initial_noise(model, [5, 6, 7], 64, 64)
    assert together.shape == (3, 4, 8, 8)
    assert torch.equal(together[1:2], initial_noise(model, [6], 64, 64))


def test_one_call_repeated_gives_the_same_bits(model: StableDiffusion) -> None:
    first = sample(model, PROMPTS, seeds=[0, 1, 2], num_inference_steps=3)
    torch.manual_seed(123)
    state = torch.get_rng_state()
    assert torch.equal(first, sample(model, PROMPTS, seeds=[0, 1, 2], num_inference_steps=3))
    assert torch.equal(torch.get_rng_state(), state)


def test_guidance_of_one_is_the_conditional_model(model: StableDiffusion) -> None:
    """Just above 1 both halves are computed, and the difference vanishes."""
    skipped = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=4, guidance_scale=1.0)
    limit = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=4, guidance_scale=1 + 1e-7)
    far = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=4, guidance_scale=5.0)
    torch.testing.assert_close(skipped, limit, atol=1e-4, rtol=0)
    assert not torch.allclose(skipped, far, atol=1e-2)


def test_guidance_below_one_goes_from_the_negative_prompt_to_the_prompt(
    model: StableDiffusion,
) -> None:
    def draw(prompt: str, guidance_scale: float) -> torch.Tensor:
        return sample(
            model,
            [prompt],
            seeds=[0],
            num_inference_steps=4,
            guidance_scale=guidance_scale,
            negative_prompt=PROMPTS[1],
        )

    none, half, full = (draw(PROMPTS[0], scale) for scale in (0.0, 0.5, 1.0))
    torch.testing.assert_close(none, draw(PROMPTS[1], 1.0), atol=1e-4, rtol=0)
    assert (half - none).abs().max() > 1e-2
    assert (half - full).abs().max() > 1e-2


def test_latents_stay_in_float32_between_the_steps_of_a_half_precision_unet(
    micro_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(micro_sd)
    model.unet.to(torch.bfloat16)
    model.text_encoders.to(torch.bfloat16)
    drawn: list[torch.Tensor] = []
    decode = model.decode_latents
    monkeypatch.setattr(
        model, "decode_latents", lambda latents: drawn.append(latents) or decode(latents)
    )
    sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=3)
    [latents] = drawn
    assert latents.dtype == torch.float32
    assert not torch.equal(latents, latents.bfloat16().float())
    assert not model.unet._forward_hooks
    assert not model.unet._forward_pre_hooks


def test_guidance_of_one_runs_half_the_work(
    model: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    forward = model.unet.forward
    monkeypatch.setattr(
        model.unet,
        "forward",
        lambda x, *args, **kwargs: rows.append(len(x)) or forward(x, *args, **kwargs),
    )
    sample(model, PROMPTS, seeds=[0, 1, 2], num_inference_steps=2, guidance_scale=1.0)
    sample(model, PROMPTS, seeds=[0, 1, 2], num_inference_steps=2, guidance_scale=2.0)
    assert rows == [3, 3, 6, 6]


def test_a_negative_prompt_and_clip_skip_matter(model: StableDiffusion) -> None:
    plain = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=3)
    negative = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=3, negative_prompt="a cat")
    skipped = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=3, clip_skip=2)
    assert not torch.allclose(plain, negative, atol=1e-2)
    assert not torch.allclose(plain, skipped, atol=1e-3)


def test_other_sizes_are_drawn(model: StableDiffusion) -> None:
    images = sample(model, PROMPTS[:2], seeds=[0, 1], num_inference_steps=2, height=32, width=72)
    assert images.shape == (2, 3, 32, 72)
    assert images.dtype == torch.float32
    assert images.min() >= 0.0
    assert images.max() <= 1.0


def test_the_result_can_be_written_to(model: StableDiffusion) -> None:
    images = sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=1)
    images += 1.0  # an inference tensor would refuse
    assert not images.is_inference()


def test_training_modes_are_put_back(micro_sd: Path) -> None:
    model = load(micro_sd)
    model.unet.train()
    expected = {name: module.training for name, module in model.named_modules()}
    sample(model, PROMPTS[:1], seeds=[0], num_inference_steps=1)
    assert {name: module.training for name, module in model.named_modules()} == expected
    assert model.unet.training
    assert not model.vae.training


def test_bad_arguments_are_refused(model: StableDiffusion) -> None:
    def refuses(message: str, **arguments: object) -> None:
        with pytest.raises(ValueError, match=message):
            sample(model, **{"prompts": PROMPTS, "seeds": [0, 1, 2], **arguments})  # type: ignore[arg-type]

    refuses("`prompts` to be a list of texts, but got 'a cat'", prompts="a cat")
    refuses(r"`prompts` to be a list of texts, but got \[\]", prompts=[], seeds=[])
    refuses("one seed per prompt, 3, but got 2", seeds=[0, 1])
    refuses("`num_inference_steps` to be a positive integer, but got 0", num_inference_steps=0)
    refuses("`batch_size` to be a positive integer, but got -1", batch_size=-1)
    refuses("`guidance_scale` to be 0 or more, but got -2", guidance_scale=-2)
    refuses("`height` to be a positive multiple of 8, but got 65", height=65)
    refuses("`width` to be a positive multiple of 8, but got 0", width=0)
    refuses("`noise_scheduler` to be one of `dpm", noise_scheduler="ddpm")
    refuses("`clip_skip` to be an integer from 1 to 2, but got 13", clip_skip=13)
