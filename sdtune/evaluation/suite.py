"""The scores of a set of pictures: every metric that applies, with its interval."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from sdtune.data.buckets import Size
from sdtune.evaluation.kept_scores import KeptScores, digest_of_pictures
from sdtune.evaluation.training_set import TrainingSet
from sdtune.metrics.intervals import (
    Interval,
    Resamples,
    bootstrap_interval,
    interval_of,
    paired_interval,
    resample,
    verdict,
)
from sdtune.metrics.judges import Judges
from sdtune.metrics.memorisation import MEMORISED_SHARE, clip_pairs, copies, nearest
from sdtune.metrics.metric import Metric, SampleMetric
from sdtune.metrics.registered_metric import RegisteredMetric
from sdtune.metrics.registry import METRICS
from sdtune.metrics.samples import Pictures, Reference, Samples, see
from sdtune.metrics.ssim import ssim_pairs
from sdtune.run_folder.record import Difference, Figure, NearestPicture

__all__ = ["Scores", "Suite"]

log = logging.getLogger(__name__)

_ROWS, _SEEN, _SEEN_OF_CLASS, _NEAREST = "rows.", "seen.", "seen_of_class.", "nearest"


@dataclass(frozen=True)
class Scores:
    """What was measured of one model's pictures.

    Attributes:
        rows: Metric -> what it keeps of each sample: (B,), or (B, D) of a metric of sets; prompts
            outside and seeds inside; for `class_drift`, class prompts.
        samples: The pictures.
        nearest: The nearest training picture of each sample.
    """

    rows: Mapping[str, Tensor]
    samples: Samples
    nearest: Sequence[NearestPicture] = field(default_factory=list)

    @property
    def per_sample(self) -> dict[str, Tensor]:
        """Metric -> (B,) a value per sample, of the metrics that each sample has for itself."""
        return {name: rows for name, rows in self.rows.items() if rows.ndim == 1}


class Suite:
    """All registered metrics whose needs are met, and what samples are compared with.

    Args:
        training: The training pictures.
        judges: The networks, on the device where they shall work.
        prompts: What is drawn, as a judge shall read it: without learned words.
        seeds: Every prompt is drawn once with each.
        num_class_prompts: How many class prompts are drawn, with the same seeds.
        size: Width and height of the samples, in pixels, in which training pictures are read too.
        kept: What judges have seen before of the training pictures, and of the base's.
        style: What the judge of style depends on, if there is one.
    """

    def __init__(
        self,
        training: TrainingSet,
        judges: Judges,
        prompts: Sequence[str],
        seeds: Sequence[int],
        num_class_prompts: int,
        size: Size,
        kept: KeptScores | None = None,
        style: Mapping[str, Any] | None = None,
    ) -> None:
        self._kept = kept or KeptScores()
        self.names = training.names
        self.prompt_ids = [number for number in range(len(prompts)) for _ in seeds]
        self.seeds = list(seeds) * len(prompts)
        self.class_ids = [number for number in range(num_class_prompts) for _ in seeds]
        self.class_seeds = list(seeds) * num_class_prompts
        self.metrics = _measurable(judges, num_class_prompts)
        self._needs = {need for each in self.metrics for need in each.needs}
        known = list(training.pictures) + list(training.held_out)
        compared = {
            need for each in self.metrics if "training" in each.needs for need in each.needs
        }
        self._about: dict[str, Any] = {
            "training": training.hashes(training.pictures),
            "held_out": training.hashes(training.held_out),
            "size": list(size),
        }
        views = self._kept.get(
            {**self._about, "views": sorted(compared)},
            lambda: see(training.read(known, size), judges, compared),
        )
        self._about |= {"prompts": list(prompts), "seeds": self.seeds, "style": style}
        count = len(self.names)
        self.reference = Reference(
            judges,
            list(prompts),
            training=Pictures({name: rows[:count] for name, rows in views.items()}),
            held_out=Pictures({name: rows[count:] for name, rows in views.items()}),
            read=lambda: training.read(training.pictures, size),
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
            The scores, on the CPU; without a metric whose values are not finite, which is told.
        """
        measure = partial(self._measure, images, class_images, base)
        if base is None:
            pictures = [digest_of_pictures(each) for each in (images, class_images)]
            found = self._kept.get({**self._about, "of": pictures}, measure, self.metrics)
        else:
            found = measure()
        known = _below(_ROWS, found)
        rows = {each.name: known[each.name] for each in self.metrics if each.name in known}
        finite = {name: each for name, each in rows.items() if _is_finite(name, each)}
        nearest = self._listed(found[_NEAREST]) if MEMORISED_SHARE.name in finite else []
        seen = Pictures(_below(_SEEN, found), images)
        of_class = Pictures(_below(_SEEN_OF_CLASS, found), class_images)
        samples = Samples(
            seen,
            self.prompt_ids,
            self.reference,
            class_pictures=None if class_images is None else of_class,
        )
        return Scores(finite, samples, nearest)

    def _measure(
        self, images: Tensor, class_images: Tensor | None, base: Scores | None
    ) -> dict[str, Tensor]:
        """Show pictures to the judges, and compute all rows of all metrics, finite or not."""
        samples = Samples(
            self._see(images),
            self.prompt_ids,
            self.reference,
            class_pictures=None if class_images is None else self._see(class_images),
            base=None if base is None else base.samples,
        )
        absent = {"base": samples.base, "class_pictures": samples.class_pictures}
        missing = {need for need, found in absent.items() if found is None}
        measured = [each for each in self.metrics if not missing & set(each.needs)]
        found = {f"{_ROWS}{each.name}": _gathered(each, samples) for each in measured}
        if f"{_ROWS}{MEMORISED_SHARE.name}" in found:
            found[_NEAREST] = _nearest(samples)
        found |= {f"{_SEEN}{name}": each for name, each in samples.pictures.views.items()}
        if samples.class_pictures is not None:
            views = samples.class_pictures.views
            found |= {f"{_SEEN_OF_CLASS}{name}": each for name, each in views.items()}
        return found

    def figures(self, scores: Scores) -> dict[str, Figure]:
        """Give each metric with its 95 % interval over prompts and seeds.

        Args:
            scores: As `score` returns them.

        Returns:
            Metric -> figure, in the order of registration.
        """
        found = {}
        for metric, rows in self._measured(scores):
            if isinstance(metric, SampleMetric):
                interval = bootstrap_interval(rows, *self._samples_of(metric))
            else:
                interval = interval_of(
                    partial(metric.figure, rows, self.reference), self._resamples()
                )
            value = interval.value
            low = min(value, max(interval.low, metric.lowest))
            high = max(value, min(interval.high, metric.highest))
            found[metric.name] = Figure(value, low, high, len(rows))
        return found

    def against_base(self, scores: Scores, base: Scores) -> dict[str, Difference]:
        """Compare with the base, paired by prompt and seed.

        Args:
            scores: A tuned model's.
            base: The base's.

        Returns:
            Metric -> difference and verdict, of all that both have: not of `class_drift`, which is
            a comparison with the base in itself.
        """
        found = {}
        for metric, rows in self._measured(scores):
            if metric.name in base.rows:
                interval = self._difference(metric, rows, base.rows[metric.name])
                told = verdict(interval, metric.higher_is_better)
                found[metric.name] = Difference(interval.value, interval.low, interval.high, told)
        return found

    def _see(self, images: Tensor) -> Pictures:
        return Pictures(see([images], self.reference.judges, self._needs), images)

    def _measured(self, scores: Scores) -> list[tuple[Metric, Tensor]]:
        return [(each, scores.rows[each.name]) for each in self.metrics if each.name in scores.rows]

    def _difference(self, metric: Metric, tuned: Tensor, base: Tensor) -> Interval:
        if isinstance(metric, SampleMetric):
            return paired_interval(tuned, base, *self._samples_of(metric))
        figure = partial(metric.figure, reference=self.reference)
        return interval_of(
            lambda weights: figure(tuned, weights=weights) - figure(base, weights=weights),
            self._resamples(),
        )

    def _resamples(self) -> Resamples:
        return resample(self.prompt_ids, self.seeds)

    def _samples_of(self, metric: SampleMetric) -> tuple[list[int], list[int]]:
        if metric.of_class:
            return self.class_ids, self.class_seeds
        return self.prompt_ids, self.seeds

    def _listed(self, rows: Tensor) -> list[NearestPicture]:
        return [
            NearestPicture(
                prompt=self.prompt_ids[sample],
                seed=self.seeds[sample],
                picture=self.names[int(picture)],
                similarity=similarity,
                ssim=ssim,
                memorised=bool(memorised),
            )
            for sample, (picture, similarity, ssim, memorised) in enumerate(rows.tolist())
        ]


def _nearest(samples: Samples) -> Tensor:
    """Find the nearest training picture of each sample.

    Returns:
        (B, 4) float64: its place, its similarity, its SSIM, and 1 where the sample is a copy.
    """
    similarity, number = nearest(samples.once(clip_pairs))
    ssim, memorised = samples.once(ssim_pairs), samples.once(copies)
    of_nearest = ssim.gather(1, number[:, None])[:, 0]
    columns = (number, similarity, of_nearest, memorised)
    return torch.stack([each.double() for each in columns], dim=1)


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): each for n, each in tensors.items() if n.startswith(prefix)}


def _measurable(judges: Judges, num_class_prompts: int) -> list[Metric]:
    """Choose the metrics whose needs are met, and say of the others why they are not."""
    missing = {
        name: judges.missing.get(name, "no such judge is loaded")
        for name in ("clip", "dino", "lpips", "style")
        if getattr(judges, name) is None
    }
    if not num_class_prompts:
        missing["class_pictures"] = "it needs `class_prompts`"
    found, left_out = [], []
    for metric in METRICS.values():
        reasons = [missing[need] for need in metric.needs if need in missing]
        if reasons:
            left_out.append(f"{metric.title} ({'; '.join(reasons)})")
        else:
            found.append(metric)
    if left_out:
        rank_zero_info(f"Not measured: {', '.join(left_out)}.")
    return found


def _gathered(metric: Metric, samples: Samples) -> Tensor:
    gathering = RegisteredMetric(metric)
    gathering.update(samples)
    return gathering.rows


def _is_finite(name: str, rows: Tensor) -> bool:
    bad = int((~rows.reshape(len(rows), -1).isfinite()).any(dim=1).sum())
    if bad:
        log.warning(
            "Not measured here: %s (of %d of %d samples it is not a finite number).",
            METRICS[name].title,
            bad,
            len(rows),
        )
    return not bad
