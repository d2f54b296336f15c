"""What scores hang on: the base, the pictures, what is drawn, who judges, and what is the best."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from sdtune.run_folder.run_recipe import Precision

__all__ = [
    "LATER_SETTINGS",
    "Base",
    "Choice",
    "EvaluationSettings",
    "Precision",
    "Provenance",
    "QuantizedParts",
    "TrainingPictures",
]

QuantizedParts = Literal[
    "none", "nf4:unet", "nf4:unet+text_encoders", "int8:unet", "int8:unet+text_encoders"
]
"""How linear layers of a base are kept, and of which of its parts."""

LATER_SETTINGS = ("style_pictures", "clip_skip", "max_prompt_chunks", "precision", "quantization")
"""Of `EvaluationSettings`, what older records do not say."""


@dataclass(frozen=True)
class Base:
    """The untuned model.

    Attributes:
        source: What it was loaded from, as the user named it.
        fingerprint: SHA-256 over its weights.
    """

    source: str
    fingerprint: str


@dataclass(frozen=True)
class Provenance:
    """What was trained, and where.

    Attributes:
        recipe: The recipe's name; empty if an adapter was scored without its run.
        technique: The LightningModule's class, or as its adapter's header says; may be empty.
        seed: The run's seed, if it is known.
        max_steps: Optimizer steps that the run was to take, if they are known.
        device: `cpu`, or the name of the GPU.
        versions: Library -> version.
    """

    recipe: str
    technique: str
    seed: int | None
    max_steps: int | None
    device: str
    versions: dict[str, str]


@dataclass(frozen=True)
class EvaluationSettings:
    """What every checkpoint was asked to draw, and who judged it: only equals are compared.

    Attributes:
        prompts: What is drawn.
        seeds: Every prompt is drawn once with each.
        class_prompts: What is drawn to see whether the class stayed what it was.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance.
        negative_prompt: What guidance leads away from.
        clip: The CLIP that judges.
        dino: The DINO that judges, if any.
        width: Of the pictures, in pixels; None is the base's own side.
        height: Likewise.
        style_pictures: Training pictures whose captions the base draws for the style score, at
            most; below 2 there is none. This and what follows is None in older records, which did
            not say it.
        clip_skip: Text encoder layer that all is drawn with, counted from the end.
        max_prompt_chunks: Chunks of 75 tokens that a prompt may have.
        precision: What base and adapters compute in.
        quantization: Which parts of the base are quantised, and how.
    """

    prompts: Annotated[list[str], Field(min_length=1)]
    seeds: Annotated[list[int], Field(min_length=1)]
    class_prompts: list[str]
    num_inference_steps: int
    guidance_scale: FiniteFloat
    negative_prompt: str
    clip: str
    dino: str | None
    width: int | None = None
    height: int | None = None
    style_pictures: int | None = None
    clip_skip: int | None = None
    max_prompt_chunks: int | None = None
    precision: Precision | None = None
    quantization: QuantizedParts | None = None

    def agrees_with(self, other: EvaluationSettings) -> bool:
        """Tell whether scores compare; what an older record does not say is taken to agree."""
        filled = {
            name: getattr(other, name)
            for name in LATER_SETTINGS
            if getattr(self, name) is None or getattr(other, name) is None
        }
        return replace(self, **filled) == other


@dataclass(frozen=True)
class TrainingPictures:
    """What the samples are compared with.

    Attributes:
        folder: Where the pictures are.
        count: How many there are.
        sha256: Hash over their bytes.
        reading: How they are read, if `folder` alone does not say it: several folders and their
            repeats, a source, columns.
        kept: Mean share of a picture's pixels that samples are compared with: the middle, in their
            shape. None if that was not recorded.
        held_out: Names of the pictures in `folder` that were held out of training, and help to
            tell copies. None if that was not recorded.
    """

    folder: str
    count: int
    sha256: str
    reading: dict[str, str | dict[str, int]] | None = field(default=None, compare=False)
    kept: FiniteFloat | None = field(default=None, compare=False)
    held_out: list[str] | None = field(default=None, compare=False)

    def agrees_with(self, other: TrainingPictures) -> bool:
        """Tell whether scores compare; what an older record does not say is taken to agree."""
        is_told = self.held_out is not None and other.held_out is not None
        return self == other and (not is_told or self.held_out == other.held_out)


@dataclass(frozen=True)
class Choice:
    """What the best checkpoint is chosen by, see `sdtune.evaluation.best.BestRule`.

    Attributes:
        goal: `style`, `subject` or a metric.
        max_clip_score_drop: By what share of the base's the CLIP score may fall.
        max_memorised_share: The largest share of samples that may be taken for copies.
    """

    goal: str
    max_clip_score_drop: FiniteFloat
    max_memorised_share: FiniteFloat
