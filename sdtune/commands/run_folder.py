"""Where a run writes: `runs/<recipe>/<version>`, a fresh one or the one that is resumed."""

import glob
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdtune.commands.errors import CallError
from sdtune.commands.recipe import read_yaml
from sdtune.run_folder.checkpoints import Manifest, damage_of, find_checkpoint
from sdtune.run_folder.fresh_folder import refuse_links
from sdtune.run_folder.layout import CHECKPOINT, RunFolder, latest_checkpoint
from sdtune.run_folder.slurm_job import job_of_call, was_requeued

__all__ = ["DEFAULT_ROOT", "Destination", "choose_run_folder"]

_KEEPS = "ResumeCheckpoint"

DEFAULT_ROOT = "runs"
"""Folder below which run folders go, unless `trainer.default_root_dir` names another."""


@dataclass(frozen=True)
class Destination:
    """A run's place on disk.

    Args:
        root: Folder of all runs, TensorBoard's `--logdir`.
        name: Name of the recipe.
        version: Folder below the name; None for the next free `version_N`.
        checkpoint: Checkpoint to go on from; None starts afresh.
        notes: What is wrong with newer checkpoints, and which is taken instead, a sentence each.
    """

    root: Path
    name: str
    version: str | None = None
    checkpoint: Path | None = None
    notes: tuple[str, ...] = ()

    @property
    def path(self) -> Path | None:
        """The run's own folder, if it is already known."""
        return None if self.version is None else self.root / self.name / self.version

    def config_filename(self) -> str:
        """Name a file for the resolved recipe that overwrites none of an earlier start's."""
        return RunFolder(self.path or Path("new")).next_config.name


def choose_run_folder(
    recipe: Mapping[str, Any], recipe_paths: list[Path], first_process: bool = True
) -> Destination:
    """Choose the folder of a run, by its recipe's name and the call's `run` and `resume`.

    Args:
        recipe: The merged recipe, with `trainer.default_root_dir`, `run` and `resume` if given.
        recipe_paths: The recipe's files; the last one names the run.
        first_process: Whether to refuse a folder that exists. The other processes of a
            distributed run come when the first one has already made it.

    Returns:
        The folder, with a checkpoint if the run is to be resumed. Each call of a job that SLURM
        starts again goes on with its own run.

    Raises:
        CallError: If the folder exists already, or there is nothing to resume, or the newest run
            has nothing to go on from.
    """
    trainer = recipe.get("trainer") or {}
    root = Path(trainer.get("default_root_dir") or DEFAULT_ROOT)
    name = _run_name(recipe_paths)
    version, resume = recipe.get("run"), recipe.get("resume")
    if resume is None and (requeued := _run_of_job(root / name, version)) is not None:
        return _resumed(root, name, str(requeued))
    if version is None and resume is None:
        return Destination(root, name)
    if version is not None and resume is not None:
        raise CallError(["Expected `--run` or `--resume`, but got both: a resumed run has a name."])
    if resume is not None:
        return _resumed(root, name, str(resume))
    folder = root / name / str(version)
    if Path(str(version)).name != str(version) or version in ("", ".."):
        raise CallError([f"Expected `--run` to be one folder's name, but got `{version}`."])
    if first_process and folder.exists():
        raise CallError(
            [f"Expected `--run` to name a new folder, but `{folder}` exists; choose another name."]
        )
    return Destination(root, name, str(version))


def _run_of_job(runs: Path, version: Any) -> Path | None:
    """Find the run that this call of a SLURM job has begun before the job was queued again."""
    if not was_requeued():
        return None
    job = job_of_call()
    for run in sorted(runs.glob("*" if version is None else glob.escape(str(version)))):
        manifest = Manifest.load(run / CHECKPOINT.parent)
        if manifest is not None and manifest.job == job:
            return run
    return None


def _run_name(recipe_paths: list[Path]) -> str:
    if not recipe_paths:
        return "run"
    path = recipe_paths[-1].resolve()
    run = RunFolder(path.parent)
    return run.recipe if run.has_curves else path.stem  # a run's own config.yaml has no name


def _resumed(root: Path, name: str, resume: str) -> Destination:
    if resume == "last":
        latest = latest_checkpoint(root / name)
        if latest is None:
            newest = max(_without_checkpoint(root / name), key=_began, default=None)
            why = "" if newest is None else _keeps_none(newest)
            raise CallError(
                [
                    f"Expected a run with {CHECKPOINT} below `{root / name}` to resume, but there "
                    f"is none{f': {why}' if why else ''}."
                ]
            )
        _refuse_passing_over(root / name, latest)
        checkpoint, notes = _newest_good(latest.parent)
    elif Path(resume).is_dir() and not _is_sharded(Path(resume)):
        checkpoint, notes = _newest_good(Path(resume, CHECKPOINT).parent)
    else:
        checkpoint, notes = Path(resume), ()
        if not checkpoint.exists():
            raise CallError(
                [f"Expected `--resume` to name a checkpoint, but `{checkpoint}` does not exist."]
            )
        problem = damage_of(checkpoint)
        if problem is not None:
            other, _ = find_checkpoint(checkpoint.parent)
            hint = f" {other} is good." if other is not None else ""
            raise CallError([f"{problem}{hint}"])
    folder = checkpoint.resolve().parent.parent
    if folder.is_relative_to(root.resolve()):  # named as the first start did, so that paths agree
        folder = root / folder.relative_to(root.resolve())
    if not RunFolder(folder).config.is_file():  # a checkpoint from elsewhere starts its own run
        return Destination(root, name, checkpoint=checkpoint, notes=notes)
    try:
        refuse_links(folder)
    except ValueError as error:
        raise CallError([str(error)]) from error
    return Destination(folder.parent.parent, folder.parent.name, folder.name, checkpoint, notes)


def _refuse_passing_over(runs: Path, latest: Path) -> None:
    """Raise if a newer run than that of a checkpoint has none, so that no other is taken for it.

    Args:
        runs: The folder of a recipe's runs.
        latest: The newest checkpoint of all of them.

    Raises:
        CallError: If so; it names both runs.
    """
    run = latest.parent.parent
    last_active = max(latest.stat().st_mtime, _began(run))
    newest = max(_without_checkpoint(runs), key=_began, default=None)
    if newest is not None and _began(newest) > last_active:
        why = _keeps_none(newest) or "none was written yet"
        raise CallError(
            [
                f"Expected `--resume` to go on with the newest run, but {newest} has no checkpoint "
                f"({why}): start it again without `--resume`, or give `--resume {run}` to go on "
                "with the one before."
            ]
        )


def _without_checkpoint(runs: Path) -> list[Path]:
    """List the runs that have begun and kept nothing to go on from."""
    began = (path.parent for path in runs.glob("*/config.yaml"))
    return [run for run in began if not RunFolder(run).checkpoints]


def _began(run: Path) -> float:
    """Tell when a run has begun the last time, by the clock of its disk."""
    try:
        return RunFolder(run).latest_config.stat().st_mtime
    except FileNotFoundError:  # a folder of checkpoints alone
        return 0.0


def _newest_good(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Find the checkpoint to go on from, and say what is wrong with newer ones."""
    checkpoint, problems = find_checkpoint(folder)
    if checkpoint is None:
        place = f"`{folder}` {'holds none that is good' if problems else _lacking(folder)}"
        raise CallError([*problems, f"Expected `--resume` to find a checkpoint, but {place}."])
    if not problems:
        return checkpoint, ()
    return checkpoint, (*problems, f"Training goes on from the one before, {checkpoint}.")


def _lacking(folder: Path) -> str:
    """Say why a folder has no checkpoint of ours."""
    others = sorted(folder.glob(f"*{CHECKPOINT.suffix}"), key=lambda path: path.stat().st_mtime)
    if others:
        return f"holds none of sdtune.ResumeCheckpoint; give Lightning's by name, {others[-1]}"
    if keeps_none := _keeps_none(folder.parent):
        return f"is not there: {keeps_none}"
    return "holds none that is good" if folder.is_dir() else "is not there"


def _keeps_none(run: Path) -> str:
    """Say that a run's recipe keeps nothing to resume from; empty if it does, or is not known."""
    try:
        trainer = read_yaml(RunFolder(run).latest_config).get("trainer")
    except CallError:
        return ""
    named = trainer.get("callbacks") if isinstance(trainer, dict) else None
    for each in named if isinstance(named, list) else []:
        path = each.get("class_path") if isinstance(each, dict) else each
        if str(path).rpartition(".")[2] == _KEEPS:
            return ""
    return f"`trainer.callbacks` of {run} named no sdtune.{_KEEPS}"


def _is_sharded(path: Path) -> bool:
    """Tell whether a folder is a checkpoint in pieces, and not a run's folder."""
    return path.suffix == CHECKPOINT.suffix
