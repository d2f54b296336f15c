from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from peft import LoraConfig, inject_adapter_in_model
from transformers import CLIPTextModel

from sdtune.functional import counter_randn
from sdtune.functional.randomness import Stream
from sdtune.models import Part, StableDiffusion, load, sample
from tests.fast_part import some_fast

PARTS: tuple[Part, ...] = ("unet", "vae", "text_encoders")


def _pictures(count: int, side: int = 64) -> torch.Tensor:
    return counter_randn((3, side, side), 0, Stream.NOISE, 0, range(count)).tanh()


def test_everything_is_frozen_and_in_evaluation(tiny_sd: Path) -> None:
    model = load(tiny_sd)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    model.train()
    assert model.unet.training
    assert model.text_encoders[0].training
    assert not any(module.training for module in model.vae.modules())


def test_properties_come_from_the_configurations(
    model: StableDiffusion, model_v: StableDiffusion
) -> None:
    assert model.prediction_type == "epsilon"
    assert model_v.prediction_type == "v_prediction"
    assert model.vae_scale_factor == 8
    assert model.resolution == 64
    assert model.latent_channels == 4
    assert model.device == torch.device("cpu")
    assert model.dtype == torch.float32
    expected = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    assert torch.equal(model.alphas_cumprod, expected.alphas_cumprod)
    assert model_v.alphas_cumprod[-1] == 0.0


def test_prompts_are_encoded_as_diffusers_does(model: StableDiffusion) -> None:
    prompts = ["a cat", "Two  DOGS, please!"]
    theirs, _ = model.pipeline().encode_prompt(prompts, "cpu", 1, False)
    ours = model.encode_prompts(prompts).encoder_hidden_states
    assert ours.shape == (2, 77, 32)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("clip_skip", [2, 3])
def test_clip_skip_equals_a_text_encoder_without_its_last_layers(
    tiny_sd: Path, model: StableDiffusion, clip_skip: int
) -> None:
    shorter = CLIPTextModel.from_pretrained(
        tiny_sd / "text_encoder", num_hidden_layers=12 - (clip_skip - 1)
    ).eval()
    expected = shorter(model.tokenize(["a cat"])).last_hidden_state
    ours = model.encode_prompts(["a cat"], clip_skip=clip_skip).encoder_hidden_states
    torch.testing.assert_close(ours, expected)
    assert not torch.allclose(ours, model.encode_prompts(["a cat"]).encoder_hidden_states)


def test_clip_skip_beyond_the_layers_is_refused(model: StableDiffusion) -> None:
    with pytest.raises(ValueError, match="`clip_skip` to be an integer from 1 to 12, but got 0"):
        model.encode_prompts(["a cat"], clip_skip=0)


def test_a_prompt_is_cut_where_the_text_encoder_ends(
    tiny_sd: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load(tiny_sd)
    with caplog.at_level(logging.WARNING, logger="sdtune"):
        model.tokenize(["x" * 75])  # with the two ends just the maximum
        assert not caplog.records
        tokens = model.tokenize(["short", "x" * 76])
    assert tokens.shape == (2, 77)
    assert tokens[1, -1] == model.tokenizers[0].eos_token_id
    assert len(caplog.records) == 1
    assert "A prompt of 78 tokens is cut to 77" in caplog.text


def test_moments_equal_the_vae_s(model: StableDiffusion) -> None:
    pixel_values = _pictures(3)
    moments = model.encode_images(pixel_values)
    posterior = model.vae.encode(pixel_values).latent_dist
    torch.testing.assert_close(moments, torch.cat([posterior.mean, posterior.logvar], dim=1))
    assert moments.is_contiguous()

    noise = torch.randn(posterior.mean.shape)
    latents = model.latents_from_moments(moments, noise)
    expected = (posterior.mean + posterior.std * noise) * model.vae.config.scaling_factor
    torch.testing.assert_close(latents, expected)
    mean = model.latents_from_moments(moments)
    torch.testing.assert_close(mean, posterior.mode() * model.vae.config.scaling_factor)


def test_wild_log_variances_are_clamped_as_diffusers_does(model: StableDiffusion) -> None:
    moments = torch.zeros(1, 8, 2, 2)
    moments[:, 4:] = 1e4
    latents = model.latents_from_moments(moments, torch.ones(1, 4, 2, 2))
    scale = model.vae.config.scaling_factor
    torch.testing.assert_close(latents / scale, torch.full((1, 4, 2, 2), 10.0).exp())


def test_decoding_undoes_scale_and_range(model: StableDiffusion) -> None:
    latents = torch.randn(2, 4, 8, 8)
    images = model.decode_latents(latents)
    decoded = model.vae.decode(latents / model.vae.config.scaling_factor).sample
    torch.testing.assert_close(images, ((decoded + 1) / 2).clamp(0, 1))


def test_the_vae_is_in_float32_even_under_autocast(model: StableDiffusion) -> None:
    pictures, latents = _pictures(1), torch.randn(1, 4, 8, 8)
    moments, images = model.encode_images(pictures), model.decode_latents(latents)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.encode_images(pictures), moments)
        assert torch.equal(model.decode_latents(latents), images)


def test_a_shift_is_undone_too(tiny_sd: Path) -> None:
    model = load(tiny_sd)
    moments = model.encode_images(_pictures(1))
    images = model.decode_latents(model.latents_from_moments(moments))
    model.vae.register_to_config(shift_factor=0.7, scaling_factor=2.0)
    latents = model.latents_from_moments(moments)
    torch.testing.assert_close(latents, (moments[:, :4] - 0.7) * 2.0)
    torch.testing.assert_close(model.decode_latents(latents), images)


def test_latents_that_are_centred_too_are_refused(tiny_sd: Path) -> None:
    model = load(tiny_sd)
    model.vae.register_to_config(latents_mean=[0.1] * 4, latents_std=[0.5] * 4)
    with pytest.raises(ValueError, match=r"that of edm also has `latents_mean`.*Playground 2\.5"):
        StableDiffusion(
            model.unet,
            model.vae,
            list(model.text_encoders),
            model.tokenizers,
            model.noise_scheduler,
            source="edm",
        )


def test_slices_bound_what_the_vae_holds(
    model: StableDiffusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = _pictures(5, side=32)
    whole = model.encode_images(pictures)
    images = model.decode_latents(model.latents_from_moments(whole))
    monkeypatch.setattr("sdtune.models.vae._PIXELS_AT_ONCE", 2 * 32 * 32)
    sizes: list[int] = []
    hook = model.vae.encoder.register_forward_pre_hook(lambda _, args: sizes.append(len(args[0])))
    sliced = model.encode_images(pictures)
    hook.remove()
    assert sizes == [2, 2, 1]
    torch.testing.assert_close(sliced, whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        model.decode_latents(model.latents_from_moments(whole)), images, atol=1e-5, rtol=1e-4
    )


def test_forward_equals_the_unet(model: StableDiffusion) -> None:
    noisy_latents = torch.randn(2, 4, 8, 8)
    timesteps = torch.tensor([3, 900])
    conditioning = model.encode_prompts(["a cat", "a dog"])
    expected = model.unet(noisy_latents, timesteps, conditioning.encoder_hidden_states).sample
    assert torch.equal(model(noisy_latents, timesteps, conditioning), expected)


def test_convolutions_are_channels_last(model: StableDiffusion) -> None:
    for weight in (model.unet.conv_in.weight, model.vae.encoder.conv_in.weight):
        assert weight.is_contiguous(memory_format=torch.channels_last)


def test_fingerprints_name_the_weights(model: StableDiffusion, tiny_sd: Path) -> None:
    other = load(tiny_sd)
    assert {part: other.fingerprint(part) for part in PARTS} == {
        part: model.fingerprint(part) for part in PARTS
    }
    assert len({model.fingerprint(part) for part in PARTS}) == 3
    changed = load(tiny_sd)
    with torch.no_grad():
        changed.unet.conv_in.bias[0] += 1e-3
    assert changed.fingerprint("unet") != model.fingerprint("unet")
    assert changed.fingerprint("vae") == model.fingerprint("vae")
    with pytest.raises(ValueError, match="`part` to be one of unet, vae, text_encoders, but got"):
        model.fingerprint("tokenizer")  # type: ignore[arg-type]


@pytest.mark.parametrize("use_dora", some_fast([False, True], [True]))
def test_fingerprints_ignore_adapters(
    model: StableDiffusion, tiny_sd: Path, use_dora: bool
) -> None:
    adapted = load(tiny_sd)
    targets = ["to_q", "to_out.0", "conv1", "conv_in"]
    adapted.unet.add_adapter(LoraConfig(r=2, target_modules=targets, use_dora=use_dora))
    adapted.unet.add_adapter(LoraConfig(r=4, target_modules=["to_q", "to_k"]), "second")
    text_config = LoraConfig(r=2, target_modules=["q_proj", "fc1"])
    inject_adapter_in_model(text_config, adapted.text_encoders[0])
    assert any("lora" in name for name, _ in adapted.text_encoders.named_parameters())
    for part in PARTS:
        assert adapted.fingerprint(part) == model.fingerprint(part)
    assert adapted.dtype == torch.float32
    assert adapted.device == torch.device("cpu")


def test_fingerprints_that_were_taken_stay_when_the_weights_are_cast(tiny_sd: Path) -> None:
    model, cast = load(tiny_sd), load(tiny_sd)
    cast.take_fingerprints()
    cast.to(torch.bfloat16).float()
    assert {part: cast.fingerprint(part) for part in PARTS} == {
        part: model.fingerprint(part) for part in PARTS
    }


def test_the_pipeline_shares_the_modules(model: StableDiffusion, tmp_path: Path) -> None:
    pipeline = model.pipeline()
    assert pipeline.unet is model.unet
    assert pipeline.vae is model.vae
    assert pipeline.text_encoder is model.text_encoders[0]
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        "a cat",
        generator=torch.Generator().manual_seed(0),
        num_inference_steps=2,
        output_type="pt",
    ).images
    assert images.shape == (1, 3, 64, 64)

    pipeline.save_pretrained(tmp_path)
    again = load(tmp_path)
    assert again.fingerprint("unet") == model.fingerprint("unet")
    torch.testing.assert_close(
        sample(again, ["a cat"], seeds=[0], num_inference_steps=2),
        sample(model, ["a cat"], seeds=[0], num_inference_steps=2),
    )


def test_unfit_parts_are_refused(tiny_sd: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    parts = {
        "vae": pipeline.vae,
        "text_encoders": [pipeline.text_encoder],
        "noise_scheduler": pipeline.scheduler,
        "source": "test",
    }
    with pytest.raises(ValueError, match="0 tokenizers and 1 text encoders"):
        StableDiffusion(unet=pipeline.unet, tokenizers=[], **parts)
    pipeline.unet.register_to_config(in_channels=9)
    with pytest.raises(ValueError, match="with 4 input channels, but got one with 9"):
        StableDiffusion(unet=pipeline.unet, tokenizers=[pipeline.tokenizer], **parts)
