"""The scores of a set of pictures: every metric that applies, with its interval."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from sdtune.data.buckets import Size
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
    """

    def __init__(
        self,
        training: TrainingSet,
        judges: Judges,
        prompts: Sequence[str],
        seeds: Sequence[int],
        num_class_prompts: int,
        size: Size,
    ) -> None:
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
        views, count = see(training.read(known, size), judges, compared), len(self.names)
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
        rows = {each.name: _gathered(each, samples) for each in measured}
        finite = {each.name: rows[each.name] for each in measured if _is_finite(each, rows)}
        found = self._nearest(samples) if MEMORISED_SHARE.name in finite else []
        return Scores(finite, samples, found)

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
            found[metric.name] = Figure(interval.value, interval.low, interval.high, len(rows))
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

    def _nearest(self, samples: Samples) -> list[NearestPicture]:
        similarity, number = nearest(samples.once(clip_pairs))
        ssim, memorised = samples.once(ssim_pairs), samples.once(copies)
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


def _is_finite(metric: Metric, rows: Mapping[str, Tensor]) -> bool:
    values = rows[metric.name].reshape(len(rows[metric.name]), -1)
    bad = int((~values.isfinite()).any(dim=1).sum())
    if bad:
        log.warning(
            "Not measured here: %s (of %d of %d samples it is not a finite number).",
            metric.title,
            bad,
            len(values),
        )
    return not bad
