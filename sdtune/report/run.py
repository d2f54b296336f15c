"""A run folder as it is, whatever of it there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdtune.adapters.adapter_files import trained_steps
from sdtune.adapters.pipeline import find_adapter_files
from sdtune.data.survey_file import SURVEY, RecordedSurvey, read_survey
from sdtune.files.json_file import JsonFileError
from sdtune.files.text_file import parse_yaml_text, read_text
from sdtune.run_folder.checkpoints import MANIFEST, Manifest
from sdtune.run_folder.curves import Curve, read_curves
from sdtune.run_folder.layout import BEST, RECORD, RunFolder, by_step, step_name
from sdtune.run_folder.not_read import NotRead, find_not_read
from sdtune.run_folder.picture_losses import PictureLoss, read_picture_losses
from sdtune.run_folder.record import Checkpoint, Evaluation
from sdtune.run_folder.resumes import RESUMES, Resume, read_resumes
from sdtune.run_folder.run_recipe import LARGEST_RECIPE
from sdtune.run_folder.sample_rows import Samples, read_samples

__all__ = ["ReportedRun", "read_run"]


@dataclass(frozen=True)
class ReportedRun:
    """All that a run folder says.

    Attributes:
        folder: The folder.
        config: The resolved recipe of the latest start; empty if it is missing.
        config_text: The same as it is written.
        curves: Tag -> curve.
        evaluation: The scores, if there are any.
        samples: The pictures drawn while training, if there are any.
        picture_losses: Picture -> how hard it is, hardest first; empty if they were not counted.
        survey: What its pictures come to; None if that was not written.
        resumes: When it was resumed, and what its recipe has been from then on.
        problems: What is there but cannot be read, one sentence each.
        curve_problems: The same of event files.
        not_read: What of the folder is left out, which `problems` say.
    """

    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    config_text: str = ""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    evaluation: Evaluation | None = None
    samples: Samples | None = None
    picture_losses: Mapping[str, PictureLoss] = field(default_factory=dict)
    problems: Sequence[str] = ()
    resumes: Sequence[Resume] = ()
    survey: RecordedSurvey | None = None
    curve_problems: Sequence[str] = ()
    not_read: NotRead = field(default_factory=NotRead)

    @property
    def name(self) -> str:
        """The recipe's name and the version's, such as `style_lora/version_0`."""
        return RunFolder(self.folder).name

    @property
    def recipe(self) -> str:
        """The recipe's name."""
        return RunFolder(self.folder).recipe

    @property
    def technique(self) -> str:
        """The class of the LightningModule, without its module; empty if it is not known."""
        if self.evaluation is not None and self.evaluation.run.technique:
            return self.evaluation.run.technique
        return str(_section(self.config, "model").get("class_path", "")).rpartition(".")[2]

    @property
    def base(self) -> str:
        """What the base was loaded from; empty if it is not known."""
        if self.evaluation is not None:
            return self.evaluation.base.source
        return str(self.argument("model", "base") or "")

    @property
    def data_folder(self) -> Path | None:
        """Where the training pictures are, if it is known."""
        if self.evaluation is not None:
            return Path(self.evaluation.training_pictures.folder)
        folder = self.argument("data", "folder") or self.argument("data", "instance_dir")
        return Path(folder) if isinstance(folder, str) else None

    @property
    def max_steps(self) -> int | None:
        """Optimizer steps that the run was to take, if they are known."""
        steps = _section(self.config, "trainer").get("max_steps")
        if isinstance(steps, int) and steps > 0:
            return steps
        return self.evaluation.run.max_steps if self.evaluation is not None else None

    @property
    def last_step(self) -> int:
        """The last step that anything was written at."""
        steps = [0, *(curve.steps[-1] for curve in self.curves.values() if curve.steps)]
        if self.evaluation is not None:
            steps += [each.step for each in self.evaluation.checkpoints]
        if self.samples is not None:
            steps.append(self.samples.last_step)
        return max(steps)

    @property
    def steps_taken(self) -> int:
        """Optimizer steps that were taken, as far as it is known.

        A run may end before `max_steps`, by time or because nothing gets better.
        """
        if not self.is_finished:
            return self.last_step
        # curves are written every few steps, and may stop short of the last one
        return max(self.last_step, self.saved_step or 0, self.adapter_step or 0)

    @property
    def saved_step(self) -> int | None:
        """The step of the newest checkpoint to resume from, if there is one."""
        folder = RunFolder(self.folder).checkpoint.parent
        if self.not_read.holds(folder / MANIFEST):
            return None
        manifest = Manifest.load(folder)
        return manifest.checkpoints[0].step if manifest and manifest.checkpoints else None

    @property
    def adapter_step(self) -> int | None:
        """The step of the final adapter, as its header says."""
        return self.step_of_adapter(RunFolder(self.folder).adapter)

    @property
    def misplaced_best(self) -> str | None:
        """Say that `adapter/best` holds another checkpoint than the record names; None if not."""
        best = self.evaluation.best if self.evaluation is not None else None
        place = RunFolder(self.folder).best_adapter
        step = self.step_of_adapter(place)
        if best is None or step is None or self.evaluation is None:
            return None
        if best.label is not None and self.evaluation.checkpoint(best.label).step == step:
            return None
        named = "none" if best.label is None else step_name(best.label)
        return (
            f"Expected {place} to hold the best checkpoint, {named} by {RECORD}, but it is of step "
            f"{step}."
        )

    def step_of_adapter(self, folder: Path) -> int | None:
        """Read of which step the adapter in a folder is; None if there is none, or it is not said.

        Args:
            folder: The folder.
        """
        files = self.adapter_files(folder)
        return trained_steps(folder) if files else None

    @property
    def is_finished(self) -> bool:
        """Whether training reached its end: then the final adapter is there."""
        if self.evaluation is not None:
            return self.evaluation.finished
        return bool(self.adapter_files(RunFolder(self.folder).adapter))

    @property
    def shown(self) -> Checkpoint | None:
        """The checkpoint that the report is about: the best, or the last if none is."""
        if self.evaluation is None:
            return None
        tuned = self.evaluation.tuned
        best = self.evaluation.best
        named = [each for each in tuned if best is not None and each.label == best.label]
        return (named or tuned[-1:] or [None])[0]  # type: ignore[list-item]

    @property
    def untuned(self) -> Checkpoint | None:
        """The base's scores, if there are any."""
        return self.evaluation.untuned if self.evaluation is not None else None

    def argument(self, section: str, name: str) -> Any:
        """Look up an argument of the recipe's model or data; None if it is not there."""
        arguments = _section(self.config, section).get("init_args")
        return arguments.get(name) if isinstance(arguments, dict) else None

    def adapter_files(self, folder: Path) -> list[Path]:
        """List the files of the adapter in a folder; empty if there is none."""
        others = {each.name for each in by_step(folder).values()} | {BEST}  # with their own
        if self.not_read.holds(folder) or self.not_read.has_links_in(folder, others):
            return []
        try:
            return find_adapter_files(folder)
        except FileNotFoundError:
            return []


def read_run(folder: Path, *, follow: bool = True) -> ReportedRun:
    """Read a run folder, finished or not.

    Args:
        folder: The folder.
        follow: Whether links that lead out of it are followed; else they are left out.

    Returns:
        What there is; a file that cannot be read becomes one of its `problems`.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"Expected a run folder at {folder}, but there is none.")
    not_read = find_not_read(folder, follow=follow)
    problems, curve_problems = list(not_read.problems), list[str]()
    places, within = RunFolder(folder), None if follow else folder

    def is_read(path: Path) -> bool:
        return not not_read.holds(path)

    config_text = _read_text(places.latest_config) if is_read(places.latest_config) else ""
    try:
        config = parse_yaml_text(config_text)
    except ValueError:
        config = None
        problems.append(f"{places.latest_config} is not YAML, so the recipe is not known.")
    losses = places.picture_losses
    return ReportedRun(
        folder,
        config if isinstance(config, dict) else {},
        config_text,
        read_curves(folder, curve_problems, within=within),
        _read_evaluation(folder, problems) if is_read(places.record) else None,
        _read_samples(places.samples, within, problems),
        _read_picture_losses(losses, problems) if is_read(losses) else {},
        problems,
        _read_resumes(folder, problems) if is_read(folder / RESUMES) else [],
        _read_survey(folder, problems) if is_read(folder / SURVEY) else None,
        curve_problems,
        not_read,
    )


def _section(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name)
    return value if isinstance(value, dict) else {}


def _read_text(path: Path) -> str:
    try:
        return read_text(path, largest=LARGEST_RECIPE)
    except (OSError, UnicodeDecodeError):
        return ""


def _read_evaluation(folder: Path, problems: list[str]) -> Evaluation | None:
    try:
        return Evaluation.load(folder)
    except FileNotFoundError:
        return None
    except JsonFileError as error:
        problems += error.problems
        return None


def _read_samples(folder: Path, within: Path | None, problems: list[str]) -> Samples | None:
    try:
        return read_samples(folder, within)
    except (OSError, ValueError) as error:
        problems.append(f"{folder} cannot be read, so the samples are not shown: {error}")
        return None


def _read_picture_losses(path: Path, problems: list[str]) -> dict[str, PictureLoss]:
    try:
        return read_picture_losses(path)
    except FileNotFoundError:
        return {}
    except (JsonFileError, OSError) as error:
        why = "so it is not known which pictures are hard"
        problems.append(f"{path} cannot be read, {why}: {error}")
        return {}


def _read_resumes(folder: Path, problems: list[str]) -> list[Resume]:
    try:
        return read_resumes(folder)
    except (JsonFileError, OSError) as error:
        why = "so it is not known when the run was resumed"
        problems.append(f"{folder / RESUMES} cannot be read, {why}: {error}")
        return []


def _read_survey(folder: Path, problems: list[str]) -> RecordedSurvey | None:
    try:
        return read_survey(folder)
    except (JsonFileError, OSError) as error:
        why = "so it is not known what the crop keeps of the pictures"
        problems.append(f"{folder / SURVEY} cannot be read, {why}: {error}")
        return None
