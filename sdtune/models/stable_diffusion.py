"""The base model as one frozen bundle: UNet, VAE, text encoders and noise schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from sdtune.functional import PredictionType, copied_to
from sdtune.models.conditioning import Conditioning
from sdtune.models.families import Family, StableDiffusionFamily
from sdtune.models.fingerprint import fingerprint, tokenizer_fingerprint
from sdtune.models.half_norms import keep_norms_in_half
from sdtune.models.module_copy import QuicklyCopied
from sdtune.models.native_size import native_resolution
from sdtune.models.noise_schedulers import make_noise_scheduler
from sdtune.models.part_checks import check_parts
from sdtune.models.prompt_chunks import PromptSplitter, PromptTokens, encode_in_chunks
from sdtune.models.recorded_passes import RecordedPasses
from sdtune.models.substitution import substitute
from sdtune.models.vae import decode, encode

if TYPE_CHECKING:
    from diffusers import (
        AutoencoderKL,
        DDPMScheduler,
        DiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTokenizer

__all__ = ["Part", "StableDiffusion"]

Part = Literal["unet", "vae", "text_encoders"]

_CAST_TYPES = (torch.float32, torch.bfloat16, torch.float16)


class StableDiffusion(QuicklyCopied):
    """A frozen Stable Diffusion of any family, and the few operations that training it needs.

    Every weight is frozen and every module in evaluation mode at construction. Adapters are put
    into `unet` and `text_encoders` afterwards and are the only parameters that learn. Scales,
    betas, lengths and sizes come from the parts' own configurations.

    Args:
        unet: The denoising network.
        vae: The autoencoder between pictures and latents.
        text_encoders: The text encoders, as many as the family names.
        tokenizers: Their tokenizers, in the same order.
        noise_scheduler: The noise schedule that the UNet was trained with.
        source: What it was loaded from, as the user named it.
        family: How prompts are encoded and pictures drawn.
        settings: The base's own values of the family's `pipeline_settings`.
        dtype: Floating type of the UNet and the text encoders, see `set_dtype`.

    Attributes:
        substitutions: Words of prompts -> texts that are put in their place, see `substitute`.
        max_prompt_chunks: How many times the text encoders' length a prompt may have; what goes
            beyond is cut off.
        passes: The passes of a step, which a GPU may repeat by itself.

    Raises:
        ValueError: If there is not one tokenizer per text encoder, or the UNet takes more than
            noisy latents (inpainting, depth), or the parts are not the family's, or made for
            another noise schedule.
    """

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text_encoders: nn.ModuleList

    def __init__(
        self,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        text_encoders: Sequence[CLIPTextModel],
        tokenizers: Sequence[CLIPTokenizer],
        noise_scheduler: DDPMScheduler,
        source: str,
        family: Family | None = None,
        settings: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.family = family or StableDiffusionFamily()
        self.settings = dict(settings or {})
        check_parts(self.family, unet, vae, text_encoders, tokenizers, source)
        self.family.prepare(unet, text_encoders, tokenizers)
        self.unet = unet
        self.vae = vae
        self.text_encoders = nn.ModuleList(text_encoders)
        self.tokenizers = list(tokenizers)
        self.noise_scheduler = noise_scheduler
        self._alphas_cumprod = noise_scheduler.alphas_cumprod
        self.source = source
        self.substitutions: dict[str, str] = {}
        self.max_prompt_chunks = 1
        self._fingerprints: dict[Part, str] = {}
        self._own_tokens = [each.get_added_vocab() for each in tokenizers]
        self._tokenizer_fingerprints: list[str] = []
        self.passes = RecordedPasses()
        self._splitter = PromptSplitter()
        self.requires_grad_(False)
        self.eval()
        self.set_dtype(dtype)
        _lay_out(self.vae)

    def forward(
        self, noisy_latents: Tensor, timesteps: Tensor, conditioning: Conditioning
    ) -> Tensor:
        """Predict, from noisy latents, what `prediction_type` says.

        Args:
            noisy_latents: (B, C, h, w) scaled latents with noise.
            timesteps: (B,) or scalar int64, in [0, num_train_timesteps).
            conditioning: B prompts.

        Returns:
            (B, C, h, w) the UNet's prediction.
        """
        return self.passes.predict(self.family, self.unet, noisy_latents, timesteps, conditioning)

    def train(self, mode: bool = True) -> StableDiffusion:
        """Set the training mode of the UNet and text encoders; the VAE stays in evaluation."""
        super().train(mode)
        self.vae.eval()
        return self

    @property
    def prediction_type(self) -> PredictionType:
        """What the UNet predicts."""
        return cast(PredictionType, self.noise_scheduler.config["prediction_type"])

    @property
    def num_train_timesteps(self) -> int:
        """Steps of the noise schedule."""
        return int(self.noise_scheduler.config["num_train_timesteps"])

    @property
    def alphas_cumprod(self) -> Tensor:
        """(num_train_timesteps,) float32 cumulative products of the schedule, by the UNet."""
        self._alphas_cumprod = copied_to(self._alphas_cumprod, self.device)  # and kept there
        return self._alphas_cumprod

    @property
    def vae_scale_factor(self) -> int:
        """Pixels per latent, along either side."""
        return int(2 ** (len(self.vae.config["block_out_channels"]) - 1))

    @property
    def resolution(self) -> int:
        """Side in pixels of the square pictures that the UNet was made for.

        Raises:
            ValueError: If the configurations name none.
        """
        return native_resolution(self.unet.config, self.vae.config, self.source)

    @property
    def latent_channels(self) -> int:
        """Channels of the latents, C."""
        return int(self.vae.config["latent_channels"])

    @property
    def device(self) -> torch.device:
        """Where the UNet is; the VAE and the text encoders may be elsewhere."""
        return self.unet.conv_in.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the UNet's frozen weights, whatever an adapter's is."""
        return self.unet.conv_in.weight.dtype

    def tokenize(self, prompts: Sequence[str], encoder: int = 0) -> Tensor:
        """Turn prompts into token ids, of each its first chunk.

        Args:
            prompts: B texts.
            encoder: Position of the tokenizer in `tokenizers`.

        Returns:
            (B, L) int64 on the CPU, with L the tokenizer's `model_max_length`.
        """
        return torch.tensor([each.chunks[0] for each in self._split(prompts, encoder)])

    def chunk_counts(self, prompts: Sequence[str]) -> list[int]:
        """Count the chunks of each prompt: what is encoded of prompts of one count has one length.

        Args:
            prompts: B texts.

        Returns:
            B numbers, from 1 to `max_prompt_chunks`.
        """
        return [len(each.chunks) for each in self._split(prompts, 0)]

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int = 1) -> Conditioning:
        """Encode prompts into what the UNet attends to.

        Args:
            prompts: B texts.
            clip_skip: Which layer's output is used, counted from the end: 1 the one that the
                base was trained with, 2 the one before it, ….

        Returns:
            B prompts, on the text encoders' device, with all that the UNet is told of them.
            Gradients flow if the text encoders learn.

        Raises:
            ValueError: If `clip_skip` is not one of the layers.
        """
        tokens = [self._split(prompts, number) for number in range(len(self.tokenizers))]
        text_encoders = cast("list[CLIPTextModel]", list(self.text_encoders))
        encode = partial(self.passes.encode, self.family, text_encoders, clip_skip=clip_skip)
        return encode_in_chunks(tokens, encode)

    def encode_negative_prompt(self, prompt: str, clip_skip: int = 1) -> Conditioning:
        """Encode what guidance goes away from.

        Args:
            prompt: A text; an empty one may have a meaning of its own, see
                `Family.empty_negative`.
            clip_skip: As in `encode_prompts`.

        Returns:
            One prompt, on the text encoders' device.

        Raises:
            ValueError: If `clip_skip` is not one of the layers.
        """
        encoded = self.encode_prompts([prompt], clip_skip)
        return encoded if prompt else self.family.empty_negative(encoded, self.settings)

    def picture_inputs(self, batch: Mapping[str, Any], latents: Tensor) -> dict[str, Tensor]:
        """Give what the UNet is told of the pictures themselves, beside their captions.

        Args:
            batch: What the data module gave of B pictures.
            latents: (B, C, h, w) their latents.

        Returns:
            Extra inputs by name, each (B, ...), for `Conditioning.with_inputs`.
        """
        return self.family.picture_inputs(batch, latents, self.vae_scale_factor)

    def encode_images(self, pixel_values: Tensor) -> Tensor:
        """Encode pictures into the parameters of the VAE's posterior.

        Args:
            pixel_values: (B, 3, H, W) in [-1, 1], sides divisible by `vae_scale_factor`.

        Returns:
            (B, 2C, h, w) float32 mean and log-variance, unscaled, on the VAE's device.

        Raises:
            ValueError: If the VAE overflows.
        """
        return encode(self.vae, pixel_values, self.source)

    def latents_from_moments(self, moments: Tensor, noise: Tensor | None = None) -> Tensor:
        """Draw latents from the VAE's posterior and scale them for the UNet.

        Args:
            moments: (B, 2C, h, w) mean and log-variance, as `encode_images` gives them.
            noise: (B, C, h, w) standard normal, or None for the mean.

        Returns:
            (B, C, h, w) latents, shifted and scaled as `vae.config` says.
        """
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        posterior = DiagonalGaussianDistribution(moments)
        latents = posterior.mean if noise is None else posterior.mean + posterior.std * noise
        return (latents - self._shift) * self._scale

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Decode latents into pictures, a slice at a time so that memory stays bounded.

        Args:
            latents: (B, C, h, w) scaled latents.

        Returns:
            (B, 3, H, W) float32 in [0, 1], on the VAE's device.

        Raises:
            ValueError: If the VAE overflows.
        """
        unscaled = latents.float() / self._scale + self._shift
        images = decode(self.vae, unscaled, self.vae_scale_factor, self.source)
        return (images / 2 + 0.5).clamp(0.0, 1.0).contiguous()

    def fingerprint(self, part: Part) -> str:
        """Hash a part's frozen weights, to name the base in caches and checkpoints.

        Computed once, at the first call, or by `take_fingerprints` before the weights are cast;
        see `sdtune.models.fingerprint`.

        Args:
            part: `unet`, `vae` or `text_encoders`.

        Returns:
            SHA-256 in hexadecimal.

        Raises:
            ValueError: If there is no such part.
        """
        if part not in get_args(Part):
            raise ValueError(
                f"Expected `part` to be one of {', '.join(get_args(Part))}, but got `{part}`."
            )
        if part not in self._fingerprints:
            self._fingerprints[part] = fingerprint(getattr(self, part))
        return self._fingerprints[part]

    def tokenizer_fingerprints(self) -> list[str]:
        """Return SHA-256 of each of the base's own tokenizers, without words that were added."""
        if not self._tokenizer_fingerprints:
            pairs = zip(self.tokenizers, self._own_tokens, strict=True)
            self._tokenizer_fingerprints = [tokenizer_fingerprint(*each) for each in pairs]
        return self._tokenizer_fingerprints

    def take_fingerprints(self) -> None:
        """Hash all parts now: a later cast does not change the hashes."""
        for part in get_args(Part):
            self.fingerprint(part)

    def set_dtype(self, dtype: torch.dtype) -> None:
        """Cast the UNet and the text encoders, in place; the fingerprints stay the base's own.

        The VAE stays float32: in half precision some pictures overflow it.

        Args:
            dtype: A floating type.
        """
        if dtype != torch.float32:
            self.take_fingerprints()
            keep_norms_in_half(self.unet)
        _lay_out(self.unet, dtype)
        self.text_encoders.to(dtype)

    def has_fingerprint(self, part: Part, digest: str) -> bool:
        """Tell whether a hash is that of a part's frozen weights.

        Once it was taken after the weights were cast to the run's precision; such a hash is
        accepted too if it can be made of the weights as they are.

        Args:
            part: `unet`, `vae` or `text_encoders`.
            digest: SHA-256 in hexadecimal.
        """
        if digest == self.fingerprint(part):
            return True
        return any(digest == fingerprint(getattr(self, part), dtype) for dtype in _CAST_TYPES)

    def pipeline(self) -> DiffusionPipeline:
        """Make a diffusers pipeline over the same modules, adapters included, copying nothing.

        Returns:
            The family's pipeline, with DPM-Solver++ on this model's noise schedule and no safety
            checker.
        """
        family = self.family
        make: Callable[..., DiffusionPipeline] = family.pipeline_class()
        return make(
            vae=self.vae,
            unet=self.unet,
            scheduler=make_noise_scheduler("dpm++", self.noise_scheduler),
            **dict(zip(family.text_encoder_names, self.text_encoders, strict=True)),
            **dict(zip(family.tokenizer_names, self.tokenizers, strict=True)),
            **{**family.pipeline_options, **self.settings},
        )

    @property
    def _scale(self) -> float:
        return float(self.vae.config["scaling_factor"])

    @property
    def _shift(self) -> float:
        return float(self.vae.config.get("shift_factor") or 0.0)

    def _split(self, prompts: Sequence[str], encoder: int) -> list[PromptTokens]:
        prompts = [substitute(prompt, self.substitutions) for prompt in prompts]
        tokenizer = self.tokenizers[encoder]
        return self._splitter.split(encoder, tokenizer, prompts, self.max_prompt_chunks)


def _lay_out(module: Any, dtype: torch.dtype | None = None) -> None:
    """Cast weights and lay them out in one copy each.

    A file's weights are mapped and shared by processes; a copy is each one's own.
    """
    cast_and_lay_out: Any = nn.Module.to  # its types know one or the other
    cast_and_lay_out(module, dtype=dtype, memory_format=torch.channels_last)
