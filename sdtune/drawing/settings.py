"""All that a picture depends on, as a value: what is drawn by, and written into the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from sdtune._checks import check_all, check_not_negative, check_positive
from sdtune.models.noise_schedulers import NoiseSchedulerName, check_noise_scheduler
from sdtune.run_folder.run_recipe import Precision

__all__ = ["VERSION", "Batch", "PictureSettings", "Precision", "UsedAdapter", "UsedBase"]


VERSION = 1
"""Of the form in which settings are written; a change of meaning raises it."""

# far above what anyone asks for, and far below what would fill a machine
_LONGEST_PROMPT = 20_000  # characters
_MOST_STEPS = 1000
_LARGEST_SIDE = 4096  # pixels
_LARGEST_SEED = 2**63 - 1
_LARGEST_BATCH = 64
_MOST_CHUNKS = 64
_MOST_ADAPTERS = 32
_LARGEST_STRENGTH = 100.0


@dataclass(frozen=True)
class UsedBase:
    """The base that a picture is drawn with.

    Attributes:
        source: What it is called: `nano`, a Hugging Face id, or a path below the folder that the
            call was made in. Of a path elsewhere, the last name alone.
        unet_sha256: Hash of its UNet's weights, as `StableDiffusion.fingerprint` gives it.
    """

    source: str
    unet_sha256: str


@dataclass(frozen=True)
class UsedAdapter:
    """An adapter that a picture is drawn with.

    Attributes:
        name: What it is called in A1111's prompts, such as `style_lora`.
        sha256: Of its file; of several, of their hashes.
        strength: What its change is multiplied by; 1 is as it was trained.
        path: Where it is, below the folder that the call was made in; empty if it is elsewhere.
    """

    name: str
    sha256: str
    strength: float = 1.0
    path: str = ""


@dataclass(frozen=True)
class Batch:
    """How many pictures were drawn at once, and which of them this is.

    Sums of other shapes are rounded in another way, so that a picture is the same to the last bit
    only in a batch of the same size.

    Attributes:
        size: How many.
        index: From 0.
    """

    size: int
    index: int


@dataclass(frozen=True)
class PictureSettings:
    """All that a picture depends on.

    Attributes:
        prompt: What to draw, fields filled in.
        base: What draws.
        adapters: What changes it, in this order.
        negative_prompt: What guidance leads away from.
        seed: Of the noise that it starts from.
        width: Pixels; None for the base's own side.
        height: Likewise.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance; 1 is none.
        sampler: The noise scheduler, see `make_noise_scheduler`.
        clip_skip: Text encoder layer, counted from the end, as in training.
        max_prompt_chunks: Chunks of 75 tokens that a prompt may have.
        precision: Floating type of the UNet and the text encoders; the VAE's is float32.
        batch: How it was drawn; None if it has not been.
        version: Of this form.
    """

    prompt: str
    base: UsedBase
    adapters: list[UsedAdapter] = field(default_factory=list)
    negative_prompt: str = ""
    seed: int = 0
    width: int | None = None
    height: int | None = None
    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    sampler: NoiseSchedulerName = "dpm++"
    clip_skip: int = 1
    max_prompt_chunks: int = 1
    precision: Precision = "float32"
    batch: Batch | None = None
    version: int = VERSION

    def check(self) -> None:
        """Check that all values are in their ranges; whoever wrote them may mean harm.

        Raises:
            ValueError: If they are not, with a line for each.
        """
        batch = self.batch or Batch(1, 0)
        check_all(
            lambda: _check_length("prompt", self.prompt),
            lambda: _check_length("negative_prompt", self.negative_prompt),
            lambda: _check_within("seed", self.seed, 0, _LARGEST_SEED),
            lambda: _check_within("width", self.width, 8, _LARGEST_SIDE),
            lambda: _check_within("height", self.height, 8, _LARGEST_SIDE),
            lambda: _check_within("num_inference_steps", self.num_inference_steps, 1, _MOST_STEPS),
            lambda: check_not_negative("guidance_scale", self.guidance_scale),
            lambda: _check_finite("guidance_scale", self.guidance_scale),
            lambda: check_noise_scheduler(self.sampler),
            lambda: check_positive("clip_skip", self.clip_skip, of="integer"),
            lambda: _check_within("max_prompt_chunks", self.max_prompt_chunks, 1, _MOST_CHUNKS),
            lambda: _check_within("batch.size", batch.size, 1, _LARGEST_BATCH),
            lambda: _check_within("batch.index", batch.index, 0, batch.size - 1),
            lambda: _check_within("number of adapters", len(self.adapters), 0, _MOST_ADAPTERS),
            *(lambda each=each: _check_strength(each) for each in self.adapters),
        )


def _check_length(name: str, text: str) -> None:
    if len(text) > _LONGEST_PROMPT:
        raise ValueError(
            f"Expected `{name}` to have at most {_LONGEST_PROMPT} characters, but it has "
            f"{len(text)}."
        )


def _check_within(name: str, value: int | None, least: int, most: int) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"Expected `{name}` to be from {least} to {most}, but got {value}.")


def _check_finite(name: str, value: float) -> None:
    if not math.isfinite(value):
        raise ValueError(f"Expected `{name}` to be finite, but got {value}.")


def _check_strength(adapter: UsedAdapter) -> None:
    if not abs(adapter.strength) <= _LARGEST_STRENGTH:
        raise ValueError(
            f"Expected the strength of `{adapter.name}` to be from -{_LARGEST_STRENGTH:g} to "
            f"{_LARGEST_STRENGTH:g}, but got {adapter.strength}."
        )
