"""What a trained module draws of a subject, scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from benchmarks.subject_front.split import CLASS_PROMPTS, OF_CLASS, PROMPTS, SEEDS, SUBJECTS
from sdtune.evaluation.suite import Scores, Suite
from sdtune.evaluation.training_set import TrainingSet
from sdtune.metrics.features import load_clip
from sdtune.metrics.image_similarity import image_similarity
from sdtune.metrics.judges import Judges, given
from sdtune.models.sampling import sample

__all__ = ["SIDE", "Drawn", "Judge", "Point", "contact_sheet", "draw", "plain"]

STEPS, GUIDANCE = 15, 2.0  # as the recipes' samples
SIDE = 64
"""Width and height of what is drawn, in pixels."""

Point = Mapping[str, list[float]]


@dataclass(frozen=True)
class Drawn:
    """What one model drew.

    Args:
        images: (P * S, 3, H, W) in [0, 1] of the prompts, prompts outside and seeds inside.
        of_class: (C * S, 3, H, W) of the class prompts, likewise.
    """

    images: Tensor
    of_class: Tensor


class Judge:
    """Scores pictures of one subject.

    Args:
        name: The subject.
        pictures: Folder of its ten pictures.
        placed: (P, 10, D) unit vectors of the subject on the prompts' backgrounds; None leaves
            `placed` out.
    """

    def __init__(self, name: str, pictures: Path, placed: Tensor | None) -> None:
        clip = given(_judges().clip, "clip")
        self.clip = clip
        self.texts = clip.embed_texts([plain(each, name) for each in PROMPTS]).cpu()
        self.placed = placed
        self.suite = Suite(
            TrainingSet.from_folder(str(pictures)),
            _judges(),
            [plain(each, name) for each in PROMPTS],
            SEEDS,
            len(CLASS_PROMPTS),
            (SIDE, SIDE),
        )

    def score(self, drawn: Drawn, base: Scores | None = None) -> tuple[Point, Scores]:
        """Score pictures.

        Args:
            drawn: The pictures.
            base: The base's scores; None if these are they.

        Returns:
            Metric -> a value per picture, and the scores.
        """
        scores = self.suite.score(drawn.images, drawn.of_class, base)
        rows = dict(scores.rows)
        kept = ("clip_i", "clip_score", "memorised_share")
        values: dict[str, Tensor] = {name: rows[name] for name in kept}
        if "class_drift" in rows:
            moved = rows["class_drift"]
            own = OF_CLASS * len(SEEDS)
            values |= {"class_drift": moved[:own], "other_drift": moved[own:]}
        seen = scores.samples.pictures.clip
        asked = torch.arange(len(PROMPTS)).repeat_interleave(len(SEEDS))
        values["background"] = ((seen @ self.texts.T).argmax(dim=1) == asked).float()
        if self.placed is not None:
            vectors = seen.reshape(len(PROMPTS), len(SEEDS), -1)
            pairs = zip(vectors, self.placed.float(), strict=True)
            values["placed"] = torch.cat([image_similarity(*each) for each in pairs])
        return {name: [round(float(x), 4) for x in row] for name, row in values.items()}, scores

    def embed(self, images: Tensor) -> Tensor:
        """Embed pictures: (B, 3, H, W) in [0, 1] to (B, D)."""
        return self.clip.embed_images(images)


def plain(text: str, name: str) -> str:
    """Fill a prompt for the base and the judges."""
    noun = SUBJECTS[name].noun
    return text.replace("{subject}", noun).replace("{class}", noun)


def draw(module: Any, prompts: Sequence[str], class_prompts: Sequence[str]) -> Drawn:
    """Draw all prompts with all seeds.

    Args:
        module: The technique, on its device.
        prompts: Of the subject, as the model shall read them.
        class_prompts: Likewise.
    """
    every = [each for each in (*prompts, *class_prompts) for _ in SEEDS]
    images = sample(
        module.model,
        every,
        seeds=list(SEEDS) * (len(prompts) + len(class_prompts)),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        batch_size=len(every) if module.model.device.type == "cuda" else 8,
    ).cpu()
    own = len(prompts) * len(SEEDS)
    return Drawn(images[:own], images[own:])


def contact_sheet(drawn: Drawn, path: Path) -> None:
    """Write pictures as one: a column for each prompt, two seeds; below them the class prompts'."""
    _, _, height, width = drawn.images.shape
    own = _pixels(drawn.images).reshape(len(PROMPTS), len(SEEDS), height, width, 3)
    sheet = Image.new("RGB", (len(PROMPTS) * width, 3 * height), "white")
    for column, each in enumerate(own):
        for row in range(2):
            sheet.paste(Image.fromarray(each[row]), (column * width, row * height))
    of_class = _pixels(drawn.of_class).reshape(len(CLASS_PROMPTS), len(SEEDS), height, width, 3)
    for number, each in enumerate(of_class):
        for row in range(2):
            sheet.paste(Image.fromarray(each[row]), ((2 * number + row) * width, 2 * height))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, quality=88)


def _pixels(images: Tensor) -> Any:
    return (255 * images).round().byte().permute(0, 2, 3, 1).numpy()


@lru_cache
def _judges() -> Judges:
    missing = {"dino": "not needed here", "lpips": "not needed here", "style": "not needed here"}
    return Judges(clip=load_clip(), missing=missing)
