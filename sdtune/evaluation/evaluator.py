"""Draws, scores and records one checkpoint after another, for a run or for a command."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

import sdtune
from sdtune.data.buckets import Size
from sdtune.data.pictures import Picture
from sdtune.evaluation.base_pictures import BasePictures, Draw, base_fingerprint, describe_drawer
from sdtune.evaluation.best import BestRule, choose_best
from sdtune.evaluation.circumstances import precision_now, quantized_parts
from sdtune.evaluation.descriptions import describe_metrics
from sdtune.evaluation.judges import missing_needs
from sdtune.evaluation.kept_scores import KeptScores, digest_of_pictures
from sdtune.evaluation.style import StyleJudge
from sdtune.evaluation.suite import Scores, Suite
from sdtune.evaluation.training_set import TrainingSet
from sdtune.metrics.judges import Judges
from sdtune.metrics.registry import needed
from sdtune.models.identity import identity
from sdtune.models.stable_diffusion import StableDiffusion
from sdtune.models.substitution import substitute
from sdtune.run_folder.layout import BASE_LABEL, RunFolder
from sdtune.run_folder.picture_file import from_bytes, mark_lost, to_bytes, write_png
from sdtune.run_folder.record import (
    Base,
    Best,
    Checkpoint,
    Choice,
    Cost,
    Evaluation,
    EvaluationSettings,
    Provenance,
    picture_name,
    pictures_folder,
)

__all__ = ["Evaluator"]

log = logging.getLogger(__name__)

_STYLE_SEED = 2_000_000  # far from the seeds that people sample with


class Evaluator:
    """Scores the base and then checkpoints, and keeps the record.

    The base is drawn once and found in the cache by later runs; features of the training pictures
    are computed once.

    Args:
        training: The training pictures.
        judges: The networks that judge.
        protocol: What is drawn.
        rule: Which checkpoint is the best.
        run: What is being trained, for the record.
        folder: Where `evaluation.json` and the pictures go.
        words: Learned words -> the words that the base, and the judges, read in their place.
        style_pictures: Training pictures whose captions the base draws for the style score; below
            2 it is left out.
        cache: Where the base's pictures are kept; None is the default.
    """

    def __init__(
        self,
        training: TrainingSet,
        judges: Judges,
        protocol: EvaluationSettings,
        rule: BestRule,
        run: Provenance,
        folder: str | Path,
        *,
        words: Mapping[str, str] | None = None,
        style_pictures: int = 0,
        cache: str | Path | None = None,
    ) -> None:
        self.training = training
        self.judges = judges
        self.protocol = protocol
        self.rule = rule
        self.run = run
        self.folder = Path(folder)
        self.words = dict(words or {})
        self.style_pictures = style_pictures
        self.cache = cache
        self._seconds = {"drawing": 0.0, "scoring": 0.0}

    @torch.no_grad()
    def begin(
        self,
        model: StableDiffusion,
        draw_base: Draw,
        *,
        clip_skip: int = 1,
        past: Evaluation | None = None,
    ) -> None:
        """Score the base, and take over what an earlier start has scored.

        Args:
            model: The bundle, with or without an adapter, whole on its device; called where
                autocast is as it is for what draws.
            draw_base: What the untuned base draws, whatever adapter there is.
            clip_skip: Text encoder layer that it is drawn with, counted from the end.
            past: The record of an earlier start, if there is one. Its checkpoints are kept if base,
                training pictures and protocol are the same, for only then can they be compared.

        Raises:
            ValueError: If the base draws what is not finite, for nothing can be compared with it.
        """
        self._device = model.device
        self.protocol = replace(
            self.protocol,
            style_pictures=self.style_pictures,
            clip_skip=clip_skip,
            max_prompt_chunks=model.max_prompt_chunks,
            precision=precision_now(model),
            quantization=quantized_parts(model),
        )
        self._size = self._sides(model)
        drawer = self._base_pictures(model, clip_skip)

        def draw(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
            texts = [substitute(each, self.words) for each in prompts]
            return drawer.get(texts, seeds, lambda *those: _finite(draw_base(*those)))

        with self._timed("drawing"):
            images, class_images = self._drawn(draw)
            style = self.training.captioned(self.style_pictures) if "style" in needed() else []
            seeds = range(_STYLE_SEED, _STYLE_SEED + len(style))
            contrast = draw([each.caption for each in style], seeds) if style else None
        with self._timed("scoring"), self._judging():
            kept = KeptScores(self.judges, self._device, self.cache)
            about = None if contrast is None else self._about_style(model, style, contrast)
            self._suite = Suite(
                self.training,
                self._with_style(model, style, contrast, kept, about),
                [substitute(prompt, self.words) for prompt in self.protocol.prompts],
                self.protocol.seeds,
                len(self.protocol.class_prompts),
                self._size,
                kept,
                about,
            )
            self._base_scores = self._suite.score(images, class_images)
        base = self._checkpoint(BASE_LABEL, 0, self._base_scores)
        self._write_pictures(base.pictures, images, class_images)
        self.record = self._new_record(model, base)
        if past is not None:
            self._take_over(past)

    @torch.no_grad()
    def evaluate(
        self, label: str, step: int, draw: Draw, *, sha256: str | None = None
    ) -> Checkpoint:
        """Draw and score one checkpoint, and put it into the record.

        Args:
            label: Its name, such as `step_000200`; one of that name is replaced.
            step: Optimizer steps that it took.
            draw: The tuned model.
            sha256: Hash over its adapter's files, if they are there.

        Returns:
            Its scores; none, and a warning, if it draws what is not finite.
        """
        lost = 0

        def drawn(prompts: Sequence[str], seeds: Sequence[int]) -> Tensor:
            nonlocal lost
            images, found = mark_lost(draw(prompts, seeds))
            lost += found
            return to_bytes(images).float() / 255

        with self._timed("drawing"):
            images, class_images = self._drawn(drawn)
        scores = None
        if lost:
            log.warning("%s is not scored: %s.", label, _lost(lost))
        else:
            with self._timed("scoring"), self._judging():
                scores = self._suite.score(images, class_images, self._base_scores)
        checkpoint = replace(self._checkpoint(label, step, scores), sha256=sha256)
        self._write_pictures(checkpoint.pictures, images, class_images)
        others = [each for each in self.record.checkpoints if each.label != label]
        checkpoints = sorted([*others, checkpoint], key=lambda each: each.step)
        self.record = replace(self.record, checkpoints=checkpoints)
        return checkpoint

    def locate(self, adapters: Mapping[str, str]) -> None:
        """Note in the record where the adapters are.

        Args:
            adapters: Label -> the adapter's place below the folder; those that are not named are
                not kept there.
        """
        checkpoints = [
            replace(each, adapter=adapters.get(each.label)) for each in self.record.checkpoints
        ]
        self.record = replace(self.record, checkpoints=checkpoints)

    def best(self) -> Best | None:
        """Choose the best checkpoint so far, if there is one besides the base."""
        return choose_best(self.record.checkpoints, self.rule)

    def save(self, finished: bool, run_seconds: float | None = None) -> Evaluation:
        """Write the record, with the best checkpoint and what it all took.

        Args:
            finished: Whether the last checkpoint is scored.
            run_seconds: What this start of the run took so far, if there is a run.

        Returns:
            What was written.
        """
        measured = {name for each in self.record.checkpoints for name in each.figures}
        record = replace(
            self.record,
            finished=finished,
            metrics=describe_metrics(measured, self.record.metrics),
            best=self.best(),
            cost=self._cost(run_seconds),
        )
        record.save(RunFolder(self.folder).record)
        return record

    def _new_record(self, model: StableDiffusion, base: Checkpoint) -> Evaluation:
        return Evaluation(
            finished=False,
            base=Base(model.source, base_fingerprint(model)),
            run=self.run,
            protocol=self.protocol,
            training_pictures=replace(
                self.training.describe(), kept=round(self.training.kept(self._size), 4)
            ),
            metrics={},
            checkpoints=[base],
            sdtune=sdtune.__version__,
            size=self._size,
            choice=Choice(**asdict(self.rule)),
        )

    def _base_pictures(self, model: StableDiffusion, clip_skip: int) -> BasePictures:
        """Open the cache by all that the base's pictures depend on besides prompts and seeds."""
        drawer = describe_drawer(
            model,
            num_inference_steps=self.protocol.num_inference_steps,
            guidance_scale=self.protocol.guidance_scale,
            negative_prompt=self.protocol.negative_prompt,
            clip_skip=clip_skip,
            size=self._size,
        )
        return BasePictures(drawer, self.cache)

    def _sides(self, model: StableDiffusion) -> Size:
        width, height = self.protocol.width, self.protocol.height
        return width or model.resolution, height or model.resolution

    def _take_over(self, past: Evaluation) -> None:
        different = self.record.other_terms(past)
        if different:
            log.warning(
                "Earlier evaluations are dropped, for they cannot be compared: another %s.",
                " and another ".join(different),
            )
            return
        kept = [each for each in past.checkpoints if each.label != BASE_LABEL]
        checkpoints = [*self.record.checkpoints, *kept]
        self.record = replace(
            self.record, checkpoints=checkpoints, metrics=past.metrics, cost=past.cost
        )

    def _cost(self, run_seconds: float | None) -> Cost:
        past = self.record.cost  # of earlier starts
        drawing = past.drawing_seconds + self._seconds["drawing"]
        scoring = past.scoring_seconds + self._seconds["scoring"]
        seconds = drawing + scoring
        if run_seconds is None:
            # what is scored after a run is none of what the run took
            return Cost(seconds, drawing, scoring) if past.run_seconds is None else past
        run_seconds += past.run_seconds or 0.0
        return Cost(seconds, drawing, scoring, min(1.0, seconds / run_seconds), run_seconds)

    def _drawn(self, draw: Draw) -> tuple[Tensor, Tensor | None]:
        def all_of(prompts: Sequence[str]) -> Tensor:
            seeds = self.protocol.seeds
            return draw([each for each in prompts for _ in seeds], seeds * len(prompts))

        class_prompts = self.protocol.class_prompts
        return all_of(self.protocol.prompts), all_of(class_prompts) if class_prompts else None

    def _about_style(
        self, model: StableDiffusion, style: Sequence[Picture], contrast: Tensor
    ) -> dict[str, Any]:
        """Say what the judge of style depends on."""
        return {
            "vae": [identity(model, "vae"), str(model.vae.dtype)],
            "style": self.training.hashes(style),
            "size": list(self._size),
            "contrast": digest_of_pictures(contrast),
        }

    def _with_style(
        self,
        model: StableDiffusion,
        style: Sequence[Picture],
        contrast: Tensor | None,
        kept: KeptScores,
        about: Mapping[str, Any] | None,
    ) -> Judges:
        """Add the judge of style, which compares with what the base drew of some captions."""
        if contrast is not None and about is not None:
            read = self.training.read(style, self._size)
            found = kept.get(about, lambda: StyleJudge.fitted(model, read, contrast).tensors())
            style_judge = StyleJudge(model, StyleJudge.from_tensors(found))
            return replace(self.judges, style=style_judge)
        missing = missing_needs(self.protocol, self.style_pictures)
        reason = missing.get("style", "it needs two training pictures with captions")
        return replace(self.judges, missing={**self.judges.missing, "style": reason})

    def _checkpoint(self, label: str, step: int, scores: Scores | None) -> Checkpoint:
        is_base, pictures = label == BASE_LABEL, pictures_folder(label)
        if scores is None:
            return Checkpoint(label, step, None, pictures, figures={})
        return Checkpoint(
            label=label,
            step=step,
            adapter=None,
            pictures=pictures,
            figures=self._suite.figures(scores),
            per_sample={name: each.tolist() for name, each in scores.per_sample.items()},
            against_base={} if is_base else self._suite.against_base(scores, self._base_scores),
            nearest=list(scores.nearest),
        )

    def _write_pictures(self, below: str, images: Tensor, class_images: Tensor | None) -> None:
        self._write(below, images, self.protocol.prompts, "prompt")
        if class_images is not None:
            self._write(below, class_images, self.protocol.class_prompts, "class")

    def _write(
        self, below: str, images: Tensor, prompts: Sequence[str], kind: Literal["prompt", "class"]
    ) -> None:
        samples = [(number, seed) for number in range(len(prompts)) for seed in self.protocol.seeds]
        for (number, seed), pixels in zip(samples, to_bytes(images), strict=True):
            path = self.folder / below / picture_name(number, seed, kind)
            write_png(path, from_bytes(pixels))

    @contextmanager
    def _judging(self) -> Iterator[None]:
        # in full precision: the differences that are looked for are small
        device = self._device
        with self.judges.on(device), torch.autocast(device.type, enabled=False):
            yield

    @contextmanager
    def _timed(self, what: Literal["drawing", "scoring"]) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self._seconds[what] += time.perf_counter() - start


def _lost(count: int) -> str:
    pictures = "1 of its pictures holds" if count == 1 else f"{count} of its pictures hold"
    return f"{pictures} values that are not finite numbers"


def _finite(images: Tensor) -> Tensor:
    _, lost = mark_lost(images)
    if lost:
        raise ValueError(f"Nothing can be compared with the base: {_lost(lost)}.")
    return images
