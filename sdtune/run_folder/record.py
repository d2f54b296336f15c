"""The record of an evaluation, `evaluation.json`: what was measured, of what, and how surely."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat, NonNegativeInt

from sdtune._checks import shortened
from sdtune.files.confined_path import ConfinedPath
from sdtune.files.json_file import JsonFileError, read_json, write_json
from sdtune.files.metric_name import METRIC_NAME, is_metric_name
from sdtune.run_folder.layout import BASE_LABEL, RECORD, SCORED_PICTURES
from sdtune.run_folder.terms import (
    LATER_SETTINGS,
    Base,
    Choice,
    EvaluationSettings,
    Provenance,
    TrainingPictures,
)

__all__ = [
    "VERSION",
    "Base",
    "Best",
    "Checkpoint",
    "Choice",
    "Cost",
    "Difference",
    "Evaluation",
    "EvaluationSettings",
    "Excluded",
    "Figure",
    "MetricDescription",
    "NearestPicture",
    "Provenance",
    "TrainingPictures",
    "Verdict",
    "picture_name",
    "pictures_folder",
]

VERSION = 1

_ADDED_LATER = (
    *(("protocol", "width"), ("protocol", "height"), ("", "size")),
    *(("training_pictures", "reading"), ("training_pictures", "kept")),
    *(("training_pictures", "held_out"), ("", "choice")),
    *(("protocol", each) for each in LATER_SETTINGS),
)

Verdict = Literal["better", "worse", "no difference seen", "no interval"]


@dataclass(frozen=True)
class MetricDescription:
    """A metric for readers.

    Attributes:
        title: Its name.
        higher_is_better: Whether more is better.
        meaning: What it says, in plain words.
    """

    title: str
    higher_is_better: bool
    meaning: str


@dataclass(frozen=True)
class Figure:
    """A metric of one checkpoint, with its 95 % interval over prompts and seeds.

    Attributes:
        value: The figure.
        low: Lower end of the interval.
        high: Upper end.
        count: Samples that it was taken over.
    """

    value: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    count: int


@dataclass(frozen=True)
class Difference:
    """A checkpoint's figure less the base's, paired by prompt and seed.

    Attributes:
        difference: Tuned less base.
        low: Lower end of its 95 % interval.
        high: Upper end.
        verdict: `no difference seen` if the interval covers 0; `no interval` where there is none.
    """

    difference: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    verdict: Verdict


@dataclass(frozen=True)
class NearestPicture:
    """A sample and the training picture that it is most like.

    Attributes:
        prompt: Position of the sample's prompt in `EvaluationSettings.prompts`.
        seed: The sample's seed.
        picture: The training picture, below `TrainingPictures.folder`.
        similarity: Cosine of the two in CLIP's space.
        ssim: Their structural similarity.
        memorised: Whether the sample is taken for a copy: of this picture or, by structure, of
            another one.
    """

    prompt: int
    seed: int
    picture: ConfinedPath
    similarity: FiniteFloat
    ssim: FiniteFloat
    memorised: bool


@dataclass(frozen=True)
class Checkpoint:
    """The scores of the base or of one adapter.

    Attributes:
        label: `base`, `step_000200`, ….
        step: Optimizer steps taken; 0 for the base.
        adapter: The adapter's folder below the run folder; None for the base, or if none is kept.
        pictures: The folder of the scored pictures below the run folder, see `picture_name`.
        figures: Metric -> its figure. A metric that could not be measured is absent.
        per_sample: Metric -> a value per sample, prompts outside and seeds inside; for
            `class_drift`, class prompts. Absent for metrics of a whole set.
        against_base: Metric -> the difference from the base; empty for the base.
        nearest: The nearest training picture of each sample.
        sha256: Hash over the adapter's files, if it was scored after training; else None.
    """

    label: str
    step: NonNegativeInt
    adapter: ConfinedPath | None
    pictures: ConfinedPath
    figures: dict[str, Figure]
    per_sample: dict[str, list[FiniteFloat]] = field(default_factory=dict)
    against_base: dict[str, Difference] = field(default_factory=dict)
    nearest: list[NearestPicture] = field(default_factory=list)
    sha256: str | None = None


@dataclass(frozen=True)
class Excluded:
    """A checkpoint that the rule left out.

    Attributes:
        label: Which.
        reason: Why, one sentence.
    """

    label: str
    reason: str


@dataclass(frozen=True)
class Best:
    """The best checkpoint.

    Attributes:
        label: Which; None if the rule left all of them out.
        rule: How it is chosen, one sentence.
        reason: Why this one, one sentence.
        excluded: Those that the rule left out.
    """

    label: str | None
    rule: str
    reason: str
    excluded: list[Excluded] = field(default_factory=list)


@dataclass(frozen=True)
class Cost:
    """What the evaluation took.

    Attributes:
        seconds: All of it, the base included.
        drawing_seconds: Sampling.
        scoring_seconds: The metrics and the models that judge.
        share_of_run: `seconds / run_seconds`, in [0, 1].
        run_seconds: From the start of training to its latest evaluation. Of a run, what is scored
            after training is not counted.
    """

    seconds: FiniteFloat = 0.0
    drawing_seconds: FiniteFloat = 0.0
    scoring_seconds: FiniteFloat = 0.0
    share_of_run: FiniteFloat | None = None
    run_seconds: FiniteFloat | None = None


@dataclass(frozen=True)
class Evaluation:
    """All that is known of a run's checkpoints.

    Attributes:
        finished: Whether training reached its end and the last checkpoint is scored.
        base: The untuned model.
        run: What was trained.
        protocol: What was drawn and who judged.
        training_pictures: What the samples are compared with.
        metrics: The metrics that were measured, for readers.
        checkpoints: The base, then the others in order of steps.
        best: The best of them; None before there is any.
        cost: What it took.
        sdtune: The version that wrote it.
        version: Of the file's layout.
        size: Width and height of the samples in pixels; None if that was not recorded.
        choice: What the best is chosen by; None if that was not recorded.
    """

    finished: bool
    base: Base
    run: Provenance
    protocol: EvaluationSettings
    training_pictures: TrainingPictures
    metrics: dict[str, MetricDescription]
    checkpoints: list[Checkpoint]
    best: Best | None = None
    cost: Cost = field(default_factory=Cost)
    sdtune: str = ""
    version: int = VERSION
    size: tuple[int, int] | None = None
    choice: Choice | None = None

    @property
    def untuned(self) -> Checkpoint | None:
        """The base's scores."""
        return next((each for each in self.checkpoints if each.label == BASE_LABEL), None)

    @property
    def tuned(self) -> list[Checkpoint]:
        """The scores of all checkpoints but the base."""
        return [each for each in self.checkpoints if each.label != BASE_LABEL]

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read a record.

        Args:
            path: The file, or the folder that holds it under its default name.

        Raises:
            FileNotFoundError: If there is no such file.
            JsonFileError: If it is no record, or of a version that is not known here; with all
                that is wrong.
        """
        path = Path(path)
        path = path / RECORD if path.is_dir() else path
        try:
            record = read_json(cls, path, VERSION)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"Expected the record of an evaluation at {path}, but there is no such file: add "
                "sdtune.EvaluationCallback to the recipe, or run `sdtune evaluate`."
            ) from error
        if problems := list(_contradictions(record)):
            raise JsonFileError(path, problems)
        return record

    def save(self, path: str | Path) -> None:
        """Write the record, whole or not at all.

        Args:
            path: The file.

        Raises:
            ValueError: If a figure is not finite.
        """
        values = dataclasses.asdict(self)
        for part, name in _ADDED_LATER:
            inside = values[part] if part else values
            if inside[name] is None:  # as it was written before
                del inside[name]
        for checkpoint in values["checkpoints"]:
            if checkpoint["sha256"] is None:
                del checkpoint["sha256"]
        write_json(path, values)

    def other_terms(self, other: Evaluation) -> list[str]:
        """Name what another record's scores hang on and these do not; empty if both compare.

        Args:
            other: The other one.
        """
        same = {
            "base": self.base.fingerprint == other.base.fingerprint,
            "protocol": self.protocol.agrees_with(other.protocol),
            "training pictures": self.training_pictures.agrees_with(other.training_pictures),
        }
        return [name for name, is_same in same.items() if not is_same]

    def checkpoint(self, label: str) -> Checkpoint:
        """Find a checkpoint by its label, such as `base` or `step_000200`.

        Raises:
            KeyError: If there is none of that label.
        """
        for each in self.checkpoints:
            if each.label == label:
                return each
        labels = ", ".join(f"`{each.label}`" for each in self.checkpoints)
        raise KeyError(f"Expected `label` to be one of {labels}, but got `{label}`.")


def _contradictions(record: Evaluation) -> Iterator[str]:
    """Find what its types allow and no evaluation writes."""
    labels = [each.label for each in record.checkpoints]
    if record.best is not None and record.best.label not in (None, *labels):
        yield f"Expected `best.label` to be one of {labels}, but got {record.best.label!r}."
    yield from _other_names("metrics", record.metrics)
    for number, checkpoint in enumerate(record.checkpoints):
        place = f"checkpoints[{number}]"
        yield from _other_names(f"{place}.figures", checkpoint.figures)
        yield from _other_names(f"{place}.per_sample", checkpoint.per_sample)
        yield from _other_names(f"{place}.against_base", checkpoint.against_base)
        told: list[Figure | Difference] = list(checkpoint.figures.values())
        if any(each.low > each.high for each in [*told, *checkpoint.against_base.values()]):
            yield f"Expected intervals in `{place}` that end above their begin."
        if not all(0 <= each.prompt < len(record.protocol.prompts) for each in checkpoint.nearest):
            yield f"Expected `{place}.nearest` to name prompts by their position."


def _other_names(place: str, keys: Iterable[str]) -> Iterator[str]:
    """Find keys that no metric can be registered under."""
    wrong = [key for key in keys if not is_metric_name(key)]
    if wrong:
        yield f"Expected the keys of `{place}` to be {METRIC_NAME}, but got {shortened(wrong[0])}."


def picture_name(prompt: int, seed: int, kind: Literal["prompt", "class"] = "prompt") -> str:
    """Name a scored picture, such as `prompt_00_seed_0.png`, inside `Checkpoint.pictures`.

    Args:
        prompt: Position of its prompt in `EvaluationSettings.prompts`, or in its `class_prompts`.
        seed: Its seed.
        kind: `class` for a picture of a class prompt.
    """
    return f"{kind}_{prompt:02d}_seed_{seed}.png"


def pictures_folder(label: str) -> str:
    """Name the folder of a checkpoint's scored pictures, by its label, below the run folder."""
    return f"{SCORED_PICTURES}/{label}"
