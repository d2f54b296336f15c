"""Scores of fixed prompts and seeds, checkpoint by checkpoint, against the base."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor

from sdtune._checks import check_all, check_not_negative
from sdtune._run_steps import total_steps
from sdtune.adapters.words import learned_placeholders
from sdtune.callbacks.periodic import PeriodicCallback, is_trial
from sdtune.evaluation.base_pictures import Draw
from sdtune.evaluation.best import BestRule, Goal, check_goal
from sdtune.evaluation.circumstances import device_name, library_versions
from sdtune.evaluation.evaluator import Evaluator
from sdtune.evaluation.judges import judge_problems, load_judges, missing_needs
from sdtune.evaluation.settings import asked_size, check_settings, fields_of, filled_settings
from sdtune.evaluation.shared_drawing import SharedDrawing
from sdtune.evaluation.technique import Technique
from sdtune.evaluation.training_set import TrainingSet
from sdtune.evaluation.undisturbed import undisturbed
from sdtune.files.atomic_file import replaced_atomically
from sdtune.files.confined_path import lies_within
from sdtune.metrics.judges import Judges
from sdtune.metrics.registry import METRICS, measurable
from sdtune.run_folder.layout import BASE_LABEL, RECORD, SCORED_PICTURES, RunFolder, step_label
from sdtune.run_folder.record import Checkpoint, Evaluation, EvaluationSettings, Provenance

__all__ = ["AdapterKeeper", "EvaluationCallback"]

_TUNED = "tuned"


@runtime_checkable
class AdapterKeeper(Protocol):
    """A callback that writes adapters, and keeps the best of them once it is told which."""

    def folder_of(self, step: int) -> Path | None:
        """Say where the adapter of a step is, if it is still kept."""
        ...

    def keep_best(self, step: int | None, technique: Technique) -> None:
        """Keep the adapter of a step as the best, or none if there is no best one."""
        ...


class EvaluationCallback(PeriodicCallback):
    """Score the base, and the adapter as training goes on and at its end, on the same pictures.

    Writes `evaluation.json` into the run folder after each evaluation, the pictures that were
    scored to `evaluation/step_000200/`, and curves such as `eval/clip_score`. Every figure has its
    95 % interval over prompts and seeds, every checkpoint a paired comparison with the base. It
    names the best checkpoint, which an `AdapterCheckpoint` then keeps in `adapter/best/`.

    Training is not disturbed: with and without this callback it is the same, bit for bit. Several
    processes share out what is to be drawn, eight pictures at a time, and the first one scores.

    Args:
        prompts: What to draw; distinct, at least two prompts or two seeds. Fields of the data, such
            as `{subject}`, are filled; the base and the judges read the noun.
        seeds: Every prompt is drawn once with each.
        class_prompts: What to draw to see whether the class stayed what it was, without the
            subject's name.
        every_n_steps: Optimizer steps between two evaluations. None for after each validation, or
            each epoch if there is no validation. The last step is always evaluated.
        num_inference_steps: Steps of the sampler.
        guidance_scale: Strength of classifier-free guidance; 1 is none.
        negative_prompt: What guidance leads away from.
        width: Of the pictures, in pixels, a multiple of 8; None for the base's own side. Training
            pictures are compared with them in their shape, cropped to it.
        height: Likewise.
        clip: The CLIP that judges: `nano`, a folder, or a Hugging Face id such as
            `openai/clip-vit-base-patch16`.
        dino: A DINO that judges too: a folder, or an id such as `facebook/dinov2-small`.
        goal: `style`: the best checkpoint has the highest style score; `subject`: CLIP-I; a metric,
            such as `dino`: its best figure.
        style_pictures: Training pictures whose captions the base draws, once, for the style score,
            which the goal `subject` does without.
        max_clip_score_drop: The share of the base's CLIP score that the best checkpoint may lose.
        max_memorised_share: The share of the best checkpoint's pictures that may be copies.
        cache_dir: Folder for the base's pictures; None is `$SDTUNE_CACHE` or `~/.cache/sdtune`.

    Raises:
        ValueError: If arguments are out of their ranges, with a line for each.
    """

    folder_name = SCORED_PICTURES

    def __init__(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int] = (0, 1),
        class_prompts: Sequence[str] | None = None,
        every_n_steps: int | None = None,
        num_inference_steps: int = 25,
        guidance_scale: float = 7.5,
        negative_prompt: str = "",
        width: int | None = None,
        height: int | None = None,
        clip: str = "nano",
        dino: str | None = None,
        goal: Goal = "style",
        style_pictures: int = 32,
        max_clip_score_drop: float = 0.1,
        max_memorised_share: float = 0.25,
        cache_dir: str | Path | None = None,
    ) -> None:
        super().__init__(every_n_steps)
        self.protocol = EvaluationSettings(
            prompts=_listed(prompts),
            seeds=_listed(seeds),
            class_prompts=_listed(class_prompts or []),
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            negative_prompt=negative_prompt,
            clip=clip,
            dino=dino,
            width=width,
            height=height,
        )
        self._asked = self.protocol  # with the fields of prompts
        self.rule = BestRule(goal, max_clip_score_drop, max_memorised_share)
        self.style_pictures = style_pictures if goal != "subject" else 0
        check_all(
            lambda: check_settings(self.protocol),
            lambda: check_goal(goal, self._missing()),
            lambda: check_not_negative("style_pictures", style_pictures),
            lambda: check_not_negative("max_clip_score_drop", max_clip_score_drop),
            lambda: check_not_negative("max_memorised_share", max_memorised_share),
        )
        self.cache_dir = cache_dir
        self._start = 0.0
        self._training: TrainingSet | None = None
        self._judges: Judges | None = None
        self._drawing = SharedDrawing()
        self._evaluator: Evaluator | None = None  # on the first of several processes alone

    @property
    def metric_tags(self) -> list[str]:
        """The curves that may be logged, such as `eval/clip_score`."""
        known = {} if self._judges is None else self._judges.missing
        return [f"eval/{each.name}" for each in measurable({**self._missing(), **known})]

    def problems(self) -> list[str]:
        """List the models that judge and are not available here, one sentence each."""
        return judge_problems(self.protocol.clip, self.protocol.dino)

    def problems_with(self, data: object) -> list[str]:
        """List what keeps samples from being compared with some data.

        Args:
            data: A data module without problems, set up or not.

        Returns:
            One sentence, or none.
        """
        try:
            filled_settings(self._asked, fields_of(data))
            TrainingSet.of(data)
        except ValueError as error:
            return [str(error)]
        return []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load what judges, and look for the training pictures, before anything is trained.

        Raises:
            ValueError: If a model that judges is not available here, or there are fewer than two
                training pictures.
        """
        super().setup(trainer, pl_module, stage)
        self._training = self._judges = self._evaluator = None  # of an earlier fit, perhaps
        if stage != "fit" or is_trial(trainer):
            return
        self._start = time.perf_counter()
        data = getattr(trainer, "datamodule", None)
        self.protocol = filled_settings(self._asked, fields_of(data))
        self._training = TrainingSet.of(data)
        self._drawing = SharedDrawing()
        if trainer.is_global_zero:
            protocol = self.protocol
            self._judges = load_judges(protocol.clip, protocol.dino, len(protocol.seeds))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the base, and take over what the run that is being resumed has scored."""
        super().on_train_start(trainer, pl_module)
        if self._training is None:
            return
        if self._judges is not None:
            self._evaluator = self._begin(trainer, pl_module, self._training, self._judges)
        else:
            self._follow(trainer, cast(Technique, pl_module))
        trainer.strategy.barrier("evaluation")

    def at_step(self, trainer: Trainer, technique: Technique, step: int) -> None:
        """Score this step."""
        if self._evaluator is not None:
            self._evaluate(trainer, technique, step, self._evaluator)
        else:
            self._follow(trainer, technique)
        trainer.strategy.barrier("evaluation")

    def has(self, step: int) -> bool:
        """Tell whether a step is scored."""
        if self._evaluator is None:
            return False
        return any(each.step == step for each in self._evaluator.record.checkpoints)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the last step, and say which checkpoint is the best and what it all took."""
        super().on_train_end(trainer, pl_module)
        if self._evaluator is None:
            return
        record = self._save(trainer, self._evaluator, finished=True)
        if record.best is not None and record.best.label is not None:
            rank_zero_info(f"Best checkpoint: {record.best.label}. {record.best.reason}")
        elif record.best is not None:
            rank_zero_info(record.best.reason)
        cost = record.cost
        rank_zero_info(
            f"Evaluation took {cost.seconds:.1f} s, {cost.share_of_run or 0.0:.0%} of the run's "
            f"{cost.run_seconds or 0.0:.0f} s: {cost.drawing_seconds:.1f} s to draw and "
            f"{cost.scoring_seconds:.1f} s to score."
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note where the adapters are, now that all of them are written."""
        super().on_fit_end(trainer, pl_module)
        if self._evaluator is not None:
            self._save(trainer, self._evaluator, finished=True)

    def _begin(
        self, trainer: Trainer, pl_module: LightningModule, training: TrainingSet, judges: Judges
    ) -> Evaluator:
        technique, start = cast(Technique, pl_module), time.perf_counter()
        words = {w.token: w.initializer_token for w in learned_placeholders(technique.model)}
        evaluator = Evaluator(
            training,
            judges,
            self.protocol,
            self.rule,
            self._run(trainer, pl_module),
            self.folder.parent,
            words={**words, **fields_of(getattr(trainer, "datamodule", None)).words},
            style_pictures=self.style_pictures,
            cache=self.cache_dir,
        )
        # a Trainer that fits once more goes on in the folder of its run
        old = self._resumed_run or (self.folder.parent if trainer.global_step else None)
        past = None if old is None else self._past(old, trainer.global_step)
        with undisturbed(trainer, pl_module), self._drawing.lead(self._draws(technique)) as draws:
            evaluator.begin(
                technique.model,
                draws[BASE_LABEL],
                clip_skip=getattr(technique, "clip_skip", 1),
                past=past,
            )
        base = evaluator.record.checkpoints[0]
        if past is None:
            self._log(trainer, base)
        else:  # the best one may have been of the future that is given up, or be elsewhere
            best = evaluator.best()
            label = None if best is None else best.label
            step = None if label is None else evaluator.record.checkpoint(label).step
            self._keep_best(trainer, step, technique)
        self._save(trainer, evaluator)
        rank_zero_info(f"Scored the base in {time.perf_counter() - start:.1f} s.")
        return evaluator

    def _evaluate(
        self, trainer: Trainer, technique: Technique, step: int, evaluator: Evaluator
    ) -> None:
        start, label = time.perf_counter(), step_label(step)
        with (
            undisturbed(trainer, cast(LightningModule, technique)),
            self._drawing.lead(self._draws(technique)) as draws,
        ):
            checkpoint = evaluator.evaluate(label, step, draws[_TUNED])
        self._log(trainer, checkpoint)
        record = self._save(trainer, evaluator)
        if record.best is not None and record.best.label == label:
            self._keep_best(trainer, step, technique)
        if checkpoint.figures:
            words = self._words(checkpoint)
            rank_zero_info(f"Scored step {step} in {time.perf_counter() - start:.1f} s: {words}.")

    def _follow(self, trainer: Trainer, technique: Technique) -> None:
        """Draw what the first process asks for."""
        with undisturbed(trainer, cast(LightningModule, technique)):
            self._drawing.follow(self._draws(technique))

    def _draws(self, technique: Technique) -> dict[str, Draw]:
        return {
            BASE_LABEL: partial(self._draw, technique, use_adapter=False),
            _TUNED: partial(self._draw, technique),
        }

    def _draw(
        self,
        technique: Technique,
        prompts: Sequence[str],
        seeds: Sequence[int],
        use_adapter: bool = True,
    ) -> Tensor:
        return technique.generate(
            prompts,
            seeds,
            num_inference_steps=self.protocol.num_inference_steps,
            guidance_scale=self.protocol.guidance_scale,
            negative_prompt=self.protocol.negative_prompt,
            use_adapter=use_adapter,
            **asked_size(self.protocol.width, self.protocol.height),
        )

    def _past(self, old: Path, step: int) -> Evaluation | None:
        """Read what was scored up to a step; later ones are of a future that is given up."""
        new = self.folder.parent
        folder = new if (new / RECORD).is_file() else old
        try:
            past = Evaluation.load(folder)
        except (FileNotFoundError, ValueError):
            return None
        for each in past.checkpoints:
            if each.step > step and folder == new:
                shutil.rmtree(self.folder / step_label(each.step), ignore_errors=True)
            elif each.step <= step and folder != new:
                _copy_pictures(old, new, each.pictures)
        return replace(past, checkpoints=[each for each in past.checkpoints if each.step <= step])

    def _save(self, trainer: Trainer, evaluator: Evaluator, finished: bool = False) -> Evaluation:
        keepers = _keepers(trainer)
        folders = {
            each.label: next(
                filter(None, (keeper.folder_of(each.step) for keeper in keepers)), None
            )
            for each in evaluator.record.checkpoints
        }
        run_folder = self.folder.parent
        evaluator.locate({n: f.relative_to(run_folder).as_posix() for n, f in folders.items() if f})
        return evaluator.save(finished, time.perf_counter() - self._start)

    def _keep_best(self, trainer: Trainer, step: int | None, technique: Technique) -> None:
        for keeper in _keepers(trainer):
            keeper.keep_best(step, technique)

    def _log(self, trainer: Trainer, checkpoint: Checkpoint) -> None:
        values = {f"eval/{name}": each.value for name, each in checkpoint.figures.items()}
        for logger in trainer.loggers:
            logger.log_metrics(values, step=checkpoint.step)

    def _missing(self) -> dict[str, str]:
        return missing_needs(self.protocol, self.style_pictures)

    def _words(self, checkpoint: Checkpoint) -> str:
        """Word the differences from the base, such as "CLIP score +0.4 (no difference seen)"."""
        return ", ".join(
            f"{METRICS[name].title} {each.difference:+.2f} ({each.verdict})"
            for name, each in checkpoint.against_base.items()
            if name in ("clip_score", "style_score", "clip_i", self.rule.goal)
        )

    def _run(self, trainer: Trainer, pl_module: LightningModule) -> Provenance:
        steps = total_steps(trainer) if trainer.max_steps < 0 else trainer.max_steps
        return Provenance(
            recipe=RunFolder(self.folder.parent).recipe,
            technique=type(pl_module).__name__,
            seed=cast(Mapping[str, Any], pl_module.hparams).get("seed"),
            max_steps=steps,
            device=device_name(trainer.strategy.root_device),
            versions=library_versions(),
        )


def _listed(values: Sequence[Any]) -> Any:
    return values if isinstance(values, str) else list(values)  # a text is refused by the checks


def _copy_pictures(old: Path, new: Path, pictures: str) -> None:
    """Copy the files of a folder, and nothing that is a link, or lies elsewhere."""
    folder = old / pictures
    if not lies_within(folder, old) or not folder.is_dir():
        return
    for path in folder.glob("*.png"):
        if path.is_file() and lies_within(path, old):
            with replaced_atomically(new / pictures / path.name) as temporary:
                shutil.copyfile(path, temporary)


def _keepers(trainer: Trainer) -> list[AdapterKeeper]:
    return [each for each in trainer.callbacks if isinstance(each, AdapterKeeper)]  # type: ignore[attr-defined]
