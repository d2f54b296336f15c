"""The scores of a set of pictures: every metric that applies, with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sdtune.evaluation.descriptions import METRICS
from sdtune.evaluation.judges import Judges
from sdtune.evaluation.style import StyleJudge
from sdtune.evaluation.training_set import TrainingSet
from sdtune.metrics.class_drift import class_drift
from sdtune.metrics.clip_score import clip_score
from sdtune.metrics.image_similarity import image_similarity
from sdtune.metrics.images import to_grey
from sdtune.metrics.intervals import (
    Interval,
    bootstrap_interval,
    interval_of,
    paired_interval,
    resample,
    verdict,
)
from sdtune.metrics.kernel_distance import kernel_distance
from sdtune.metrics.lpips_diversity import diversity
from sdtune.metrics.memorisation import copy_threshold, nearest
from sdtune.metrics.ssim import pairwise_ssim
from sdtune.run_folder.record import Difference, Figure, MetricDescription, NearestPicture

__all__ = ["Scores", "Suite"]

_GREY_SIZE = 64  # pixels, as the metrics' default
_FALSE_POSITIVE_RATE = 0.05  # of taking a new picture for a copy, by either of two measures


@dataclass(frozen=True)
class Scores:
    """What was measured of one model's pictures.

    Attributes:
        per_sample: Metric -> (B,) a value per sample, prompts outside and seeds inside; for
            `class_drift`, class prompts.
        features: (B, D) of the samples in CLIP's space.
        class_features: (C, D) of the class pictures, if there are any.
        nearest: The nearest training picture of each sample.
    """

    per_sample: Mapping[str, Tensor]
    features: Tensor
    class_features: Tensor | None = None
    nearest: Sequence[NearestPicture] = field(default_factory=list)


class Suite:
    """Everything that samples are compared with, computed once.

    Args:
        training: The training pictures.
        judges: The networks, on the device where they shall work.
        prompts: What is drawn, as a judge shall read it: without learned words.
        seeds: Every prompt is drawn once with each.
        num_class_prompts: How many class prompts are drawn, with the same seeds.
        resolution: Side of the samples in pixels.
        style: The style measure; None leaves it out.
    """

    def __init__(
        self,
        training: TrainingSet,
        judges: Judges,
        prompts: Sequence[str],
        seeds: Sequence[int],
        num_class_prompts: int,
        resolution: int,
        style: StyleJudge | None = None,
    ) -> None:
        self.judges = judges
        self.style = style
        self.names = training.names
        self.prompt_ids = [number for number in range(len(prompts)) for _ in seeds]
        self.seeds = list(seeds) * len(prompts)
        self.class_ids = [number for number in range(num_class_prompts) for _ in seeds]
        self.class_seeds = list(seeds) * num_class_prompts
        self._texts = judges.clip.embed_texts(prompts).cpu()[self.prompt_ids]
        read = list(training.pictures) + list(training.held_out)
        clip, dino, grey = [], [], []
        for images in training.read(read, resolution):
            clip.append(judges.clip.embed_images(images).cpu())
            grey.append(to_grey(images, _GREY_SIZE))
            if judges.dino is not None:
                dino.append(judges.dino.embed_images(images).cpu())
        known_clip, known_grey, count = torch.cat(clip), torch.cat(grey), len(training.pictures)
        self._clip, self._grey = known_clip[:count], known_grey[:count]
        self._dino = torch.cat(dino)[:count] if dino else None
        self._thresholds = (
            _copy_threshold(known_clip @ self._clip.T),
            _copy_threshold(pairwise_ssim(known_grey, self._grey)),
        )

    @torch.no_grad()
    def score(
        self,
        images: Tensor,
        class_images: Tensor | None = None,
        base: Scores | None = None,
    ) -> Scores:
        """Measure one model's pictures.

        Args:
            images: (B, 3, H, W) in [0, 1], prompts outside and seeds inside.
            class_images: (C, 3, H, W) of the class prompts, likewise.
            base: The base's scores; None if these are they.

        Returns:
            The scores, on the CPU.
        """
        features = self.judges.clip.embed_images(images).cpu()
        ssim = pairwise_ssim(to_grey(images, _GREY_SIZE), self._grey)
        found = self._nearest(features @ self._clip.T, ssim)
        per_sample = {
            "clip_score": clip_score(features, self._texts),
            "clip_i": image_similarity(features, self._clip),
            "ssim": ssim.mean(dim=1),
            "ssim_nearest": ssim.amax(dim=1),
            "memorised_share": torch.tensor([float(each.memorised) for each in found]),
        }
        if self.judges.dino is not None and self._dino is not None:
            samples = self.judges.dino.embed_images(images).cpu()
            per_sample["dino"] = image_similarity(samples, self._dino)
        if self.style is not None:
            per_sample["style_score"] = self.style.scores(images)
        if self.judges.lpips is not None:
            on_device = images.to(self.judges.clip.device)
            per_sample["lpips_diversity"] = diversity(
                on_device, self.prompt_ids, self.judges.lpips
            ).cpu()
        class_features = None
        if class_images is not None:
            class_features = self.judges.clip.embed_images(class_images).cpu()
            if base is not None and base.class_features is not None:
                per_sample["class_drift"] = class_drift(class_features, base.class_features)
        return Scores(per_sample, features, class_features, found)

    def figures(self, scores: Scores) -> dict[str, Figure]:
        """Give each metric with its 95 % interval over prompts and seeds.

        Args:
            scores: As `score` returns them.

        Returns:
            Metric -> figure, in the order of `METRICS`.
        """
        found = {}
        for name, values in scores.per_sample.items():
            interval = bootstrap_interval(values, *self._samples_of(name))
            found[name] = _figure(interval, len(values))
        mmd = interval_of(self._clip_mmd(scores), resample(self.prompt_ids, self.seeds))
        found["clip_mmd"] = _figure(mmd, len(scores.features))
        return {name: found[name] for name in METRICS if name in found}

    def against_base(self, scores: Scores, base: Scores) -> dict[str, Difference]:
        """Compare with the base, paired by prompt and seed.

        Args:
            scores: A tuned model's.
            base: The base's.

        Returns:
            Metric -> difference and verdict, of all that both have: not of `class_drift`, which is
            a comparison with the base in itself.
        """
        found = {
            name: paired_interval(values, base.per_sample[name], *self._samples_of(name))
            for name, values in scores.per_sample.items()
            if name in base.per_sample
        }
        tuned_mmd, base_mmd = self._clip_mmd(scores), self._clip_mmd(base)
        found["clip_mmd"] = interval_of(
            lambda weights: tuned_mmd(weights) - base_mmd(weights),
            resample(self.prompt_ids, self.seeds),
        )
        return {
            name: _difference(found[name], description)
            for name, description in METRICS.items()
            if name in found
        }

    def _samples_of(self, name: str) -> tuple[list[int], list[int]]:
        if name == "class_drift":
            return self.class_ids, self.class_seeds
        return self.prompt_ids, self.seeds

    def _clip_mmd(self, scores: Scores) -> Callable[[Tensor], Tensor]:
        return lambda weights: kernel_distance(scores.features, self._clip, weights=weights)

    def _nearest(self, clip: Tensor, ssim: Tensor) -> list[NearestPicture]:
        similarity, number = nearest(clip)
        clip_threshold, ssim_threshold = self._thresholds
        memorised = (similarity > clip_threshold) | (ssim.amax(dim=1) > ssim_threshold)
        return [
            NearestPicture(
                prompt=self.prompt_ids[sample],
                seed=self.seeds[sample],
                picture=self.names[picture],
                similarity=float(similarity[sample]),
                ssim=float(ssim[sample, picture]),
                memorised=bool(memorised[sample]),
            )
            for sample, picture in enumerate(number.tolist())
        ]


def _copy_threshold(similarities: Tensor) -> float:
    """Calibrate on each known picture and the training picture, other than itself, nearest to it.

    Args:
        similarities: (M + K, M) of training and held-out pictures with the training pictures.

    Returns:
        The similarity above which a sample is taken for a copy.
    """
    others = similarities.clone()
    others.fill_diagonal_(-math.inf)
    return copy_threshold(nearest(others).similarity, _FALSE_POSITIVE_RATE / 2)


def _figure(interval: Interval, count: int) -> Figure:
    return Figure(interval.value, interval.low, interval.high, count)


def _difference(interval: Interval, description: MetricDescription) -> Difference:
    words = verdict(interval, description.higher_is_better)
    return Difference(interval.value, interval.low, interval.high, words)
