"""One run: a subject, an arm, a seed."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import yaml
from lightning.pytorch import Callback, Trainer

from benchmarks.quiet_training import quiet_training
from benchmarks.subject_front.arms import CAPTIONS, Arm
from benchmarks.subject_front.split import SUBJECTS
from sdtune import DreamBoothModule, PivotalTuningModule, SubjectDataModule, TextualInversionModule
from sdtune.data.class_pictures import Draw
from sdtune.data.concept import Concept

__all__ = ["built", "locked", "train"]

_RECIPES = Path(__file__).parents[2] / "recipes"
_CLASSES: dict[str, type[pl.LightningModule]] = {
    "dreambooth": DreamBoothModule,
    "textual_inversion": TextualInversionModule,
    "pivotal_tuning": PivotalTuningModule,
}
_NUMBER = re.compile(r"-?\d+(\.\d+)?e-?\d+")

Watch = Callable[[Trainer, Any, Any], None]


class _SubjectData(SubjectDataModule):
    """Draws class pictures once, whatever else runs at the same time."""

    def _drawn(self, concept: Concept, draw: Draw, key: str) -> Sequence[Any]:
        if CAPTIONS in (concept.class_prompts or []):
            told = self._captions_of_class()
            prompts = [
                each
                for prompt in concept.class_prompts or []
                for each in (told if prompt == CAPTIONS else [prompt])
            ]
            concept = replace(concept, class_prompt=prompts)
        with locked(self._cache_folder() / "class_pictures.lock"):
            return super()._drawn(concept, draw, key)

    def _captions_of_class(self) -> list[str]:
        """Give the photos' captions with the class in the subject's place."""
        (subject,) = self.subjects
        assert subject is not None
        captions = (each.caption for each in self._scanned()[0].instance.pictures)
        return list(dict.fromkeys(each.replace(subject.tuned, subject.noun) for each in captions))

    def _filled(self) -> Sequence[Concept]:
        """Fill all fields but that of the captions, which the data module does not know."""
        (concept,) = self.concepts
        prompts = concept.class_prompt
        if not isinstance(prompts, list) or CAPTIONS not in prompts:
            return super()._filled()
        known = [each.replace("{class}", str(concept.class_noun)) for each in prompts]
        return [replace(concept, class_prompt=known)]


class _Watched(Callback):
    def __init__(self, watch: Watch, data: Any, steps: Sequence[int]) -> None:
        self.watch, self.data, self.steps = watch, data, set(steps)

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, *args: Any) -> None:
        if trainer.global_step in self.steps:
            self.watch(trainer, pl_module, self.data)


def built(arm: Arm, name: str, pictures: Path, seed: int, cache: Path) -> tuple[Any, Any, int]:
    """Build what trains and its data, and say how many steps they take.

    Args:
        arm: The way.
        name: The subject.
        pictures: Folder of its pictures.
        seed: Seed of the run.
        cache: Folder of what is kept between runs.

    Returns:
        The technique, its data, and the number of steps.
    """
    path = _RECIPES / f"{arm.technique}.yaml"
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    model, data = ({} if arm.is_script else _numbers(recipe[key]["init_args"]) for key in _PARTS)
    model = {"base": "nano", **model, **arm.model, "seed": seed}
    data = {"resolution": 64, "repeats": 10, **data, **arm.data, "seed": seed}
    data |= {"instance_dir": str(pictures), "class_noun": SUBJECTS[name].noun}
    technique = _CLASSES[arm.technique](**model)
    return (
        technique,
        _SubjectData(cache_dir=str(cache), **data),
        arm.steps or recipe["trainer"]["max_steps"],
    )


def train(
    module: Any, data: Any, steps: int, watched: Sequence[int], watch: Watch, device: str
) -> None:
    """Train, and look at what has been learned at some steps.

    Args:
        module: The technique.
        data: Its data.
        steps: Optimizer steps.
        watched: After which of them `watch` is called.
        watch: Takes the trainer, the technique and the data.
        device: `cpu` or `cuda`.
    """
    with quiet_training():
        trainer = Trainer(
            max_steps=steps,
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            logger=False,
            callbacks=[_Watched(watch, data, watched)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time go on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_PARTS = ("model", "data")


def _numbers(arguments: dict[str, Any]) -> dict[str, Any]:
    """Read numbers such as 2e-3, which YAML 1.1 takes for texts."""
    return {
        key: float(each) if isinstance(each, str) and _NUMBER.fullmatch(each) else each
        for key, each in arguments.items()
    }
