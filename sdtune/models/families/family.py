"""What a family of base models says of itself, so that nothing else has to know it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from torch import Tensor

from sdtune.models.conditioning import Conditioning

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

__all__ = ["Family", "check_clip_skip"]


class Family(ABC):
    """How the bases of one kind are recognised, loaded, told what to draw, and drawn with.

    A family holds no weights: the parts are handed to it. It names them as its diffusers pipeline
    does.

    Attributes:
        name: What the kind is called in sentences.
        pipeline_name: diffusers' pipeline class, by which a folder's model_index.json names it.
        pipeline_options: What that class is further given, to load and to make one.
        pipeline_settings: Names of values in a base's model_index.json that belong to it.
        text_encoder_names: The pipeline's text encoders, in the order of `text_encoders`.
        tokenizer_names: Their tokenizers.
        single_file_parts: How the names of weights begin in a file in the original layout ->
            what these are. A file that has all of them is of this family.
    """

    name: ClassVar[str]
    pipeline_name: ClassVar[str]
    pipeline_options: ClassVar[Mapping[str, Any]] = {}
    pipeline_settings: ClassVar[tuple[str, ...]] = ()
    text_encoder_names: ClassVar[tuple[str, ...]]
    tokenizer_names: ClassVar[tuple[str, ...]]
    single_file_parts: ClassVar[Mapping[str, str]]

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        """The parts that have weights, as its pipeline names them."""
        return ("unet", "vae", *self.text_encoder_names)

    def pipeline_class(self) -> type[DiffusionPipeline]:
        """Import the pipeline's class."""
        import diffusers

        return cast("type[DiffusionPipeline]", getattr(diffusers, self.pipeline_name))

    def prepare(
        self,
        unet: UNet2DConditionModel,
        text_encoders: Sequence[CLIPTextModel],
        tokenizers: Sequence[CLIPTokenizer],
    ) -> None:
        """Refuse parts that are of another kind, and correct what their configurations get wrong.

        Called once for a base, before anything else; does nothing by default.

        Args:
            unet: The denoising network.
            text_encoders: As many as `text_encoder_names`.
            tokenizers: Theirs.

        Raises:
            ValueError: If they are not this family's.
        """
        return

    @abstractmethod
    def encode(
        self, text_encoders: Sequence[CLIPTextModel], token_ids: Sequence[Tensor], clip_skip: int
    ) -> Conditioning:
        """Encode tokenized prompts into all that the denoiser is told of them.

        Args:
            text_encoders: As many as `text_encoder_names`.
            token_ids: (B, L) int64 for each of them, on any device.
            clip_skip: Which layer's output is used, counted from the end; 1 is the one that the
                family was trained with.

        Returns:
            B prompts, on the text encoders' device. Gradients flow if these learn.

        Raises:
            ValueError: If `clip_skip` is not one of the layers, see `check_clip_skip`.
        """

    def text_layers(self, text_encoders: Sequence[CLIPTextModel], clip_skip: int) -> list[int]:
        """Count the layers of each text encoder that reach the denoiser.

        What is added to those behind them would never learn.

        Args:
            text_encoders: As many as `text_encoder_names`.
            clip_skip: As in `encode`.

        Returns:
            At least 1 for each; by default all up to the layer whose output is used.
        """
        return [max(1, each.config.num_hidden_layers - clip_skip + 1) for each in text_encoders]

    def empty_negative(self, encoded: Conditioning, settings: Mapping[str, Any]) -> Conditioning:
        """Give what guidance goes away from when there is no negative prompt.

        Args:
            encoded: What an empty text is encoded to.
            settings: The base's values of `pipeline_settings`.

        Returns:
            The same by default.
        """
        return encoded

    def picture_inputs(
        self, batch: Mapping[str, Any], latents: Tensor, vae_scale_factor: int
    ) -> dict[str, Tensor]:
        """Give what the denoiser is told of the pictures themselves, beside their captions.

        Args:
            batch: What the data module gave of B pictures.
            latents: (B, C, h, w) their latents.
            vae_scale_factor: Pixels per latent, along either side.

        Returns:
            Extra inputs by name, each (B, ...) on the latents' device; none by default.
        """
        return {}

    def predict(
        self,
        unet: UNet2DConditionModel,
        noisy_latents: Tensor,
        timesteps: Tensor,
        conditioning: Conditioning,
    ) -> Tensor:
        """Predict, from noisy latents, what the noise schedule's `prediction_type` says.

        Args:
            unet: The denoising network.
            noisy_latents: (B, C, h, w) scaled latents with noise.
            timesteps: (B,) or scalar int64.
            conditioning: B prompts, with all extra inputs.

        Returns:
            (B, C, h, w).
        """
        prediction = unet(
            noisy_latents,
            timesteps,
            encoder_hidden_states=conditioning.encoder_hidden_states,
            added_cond_kwargs=conditioning.added_cond_kwargs or None,
            return_dict=False,
        )
        return cast(Tensor, prediction[0])

    @abstractmethod
    def call_arguments(
        self, prompts: Conditioning, negative: Conditioning | None, height: int, width: int
    ) -> dict[str, Any]:
        """Name what is drawn as the pipeline's `__call__` does.

        Args:
            prompts: B prompts, as `encode` gives them.
            negative: B negative prompts, or None without guidance.
            height: Pixels.
            width: Pixels.

        Returns:
            Arguments by name. The initial noise, the steps and the scale are not among them.
        """


def check_clip_skip(
    clip_skip: int, text_encoders: Sequence[CLIPTextModel], *, from_last: int = 0
) -> None:
    """Check that every text encoder has a layer.

    Args:
        clip_skip: The layer, counted from the end.
        text_encoders: CLIP's text models.
        from_last: Layers behind the one that 1 means.

    Raises:
        ValueError: If one has fewer.
    """
    layers = min(each.config.num_hidden_layers for each in text_encoders) - from_last
    if not 1 <= clip_skip <= layers:
        raise ValueError(
            f"Expected `clip_skip` to be an integer from 1 to {layers}, but got {clip_skip}."
        )
