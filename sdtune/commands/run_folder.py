"""Where a run writes: `runs/<recipe>/<version>`, a fresh one or the one that is resumed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdtune.commands.errors import CallError

__all__ = ["DEFAULT_ROOT", "LAST", "RunFolder", "choose_run_folder"]

DEFAULT_ROOT = "runs"
"""Folder below which run folders go, unless `trainer.default_root_dir` names another."""

LAST = Path("checkpoints", "last.ckpt")
"""The checkpoint to resume from, inside a run folder."""


@dataclass(frozen=True)
class RunFolder:
    """A run's place on disk.

    Args:
        root: Folder of all runs, TensorBoard's `--logdir`.
        name: Name of the recipe.
        version: Folder below the name; None for the next free `version_N`.
        checkpoint: Checkpoint to go on from; None starts afresh.
    """

    root: Path
    name: str
    version: str | None = None
    checkpoint: Path | None = None

    @property
    def path(self) -> Path | None:
        """The run's own folder, if it is already known."""
        return None if self.version is None else self.root / self.name / self.version

    def config_filename(self) -> str:
        """Name a file for the resolved recipe that overwrites none of an earlier start's."""
        names = ["config.yaml", *(f"config_{count}.yaml" for count in range(2, 10_000))]
        folder = self.path
        return names[0] if folder is None else next(n for n in names if not (folder / n).exists())


def choose_run_folder(
    recipe: Mapping[str, Any], recipe_paths: list[Path], first_process: bool = True
) -> RunFolder:
    """Choose the folder of a run, by its recipe's name and the call's `run` and `resume`.

    Args:
        recipe: The merged recipe, with `trainer.default_root_dir`, `run` and `resume` if given.
        recipe_paths: The recipe's files; the last one names the run.
        first_process: Whether to refuse a folder that exists. The other processes of a
            distributed run come when the first one has already made it.

    Returns:
        The folder, with a checkpoint if the run is to be resumed.

    Raises:
        CallError: If the folder exists already, or there is nothing to resume.
    """
    trainer = recipe.get("trainer") or {}
    root = Path(trainer.get("default_root_dir") or DEFAULT_ROOT)
    name = _run_name(recipe_paths)
    version, resume = recipe.get("run"), recipe.get("resume")
    if version is None and resume is None:
        return RunFolder(root, name)
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
    return RunFolder(root, name, str(version))


def _run_name(recipe_paths: list[Path]) -> str:
    if not recipe_paths:
        return "run"
    path = recipe_paths[-1].resolve()
    is_in_run = any(path.parent.glob("events.out.tfevents.*"))  # a run's own config.yaml
    return path.parent.parent.name if is_in_run else path.stem


def _resumed(root: Path, name: str, resume: str) -> RunFolder:
    if resume == "last":
        checkpoints = sorted((root / name).glob(f"*/{LAST}"), key=lambda path: path.stat().st_mtime)
        if not checkpoints:
            raise CallError(
                [f"Expected a run with {LAST} below `{root / name}` to resume, but there is none."]
            )
        checkpoint = checkpoints[-1]
    else:
        checkpoint = Path(resume, LAST) if Path(resume).is_dir() else Path(resume)
        if not checkpoint.is_file():
            raise CallError(
                [f"Expected `--resume` to name a checkpoint, but `{checkpoint}` does not exist."]
            )
    folder = checkpoint.resolve().parent.parent
    if folder.is_relative_to(root.resolve()):  # named as the first start did, so that paths agree
        folder = root / folder.relative_to(root.resolve())
    if not (folder / "config.yaml").is_file():  # a checkpoint from elsewhere starts its own run
        return RunFolder(root, name, checkpoint=checkpoint)
    return RunFolder(folder.parent.parent, folder.parent.name, folder.name, checkpoint)
