"""`sdtune fit` and `lightning run`: train by a recipe, with Lightning's command line."""

import json
import logging
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerStatus

from sdtune.callbacks.periodic import is_trial
from sdtune.callbacks.resume_checkpoint import ResumeCheckpoint
from sdtune.callbacks.stop_signals import Stopped, StopSignals
from sdtune.commands.early_signals import leave_signals
from sdtune.commands.other_processes import LostProcessError, end_others, lost_process
from sdtune.commands.quiet import quiet_misleading_messages
from sdtune.commands.recipe import CALL_KEYS, options
from sdtune.commands.recipe_cli import RecipeCLI
from sdtune.files.printable_text import show
from sdtune.report.contact_sheet import write_contact_sheet
from sdtune.report.run_report import write_report
from sdtune.run_folder.layout import RunFolder, by_step

__all__ = ["main", "train"]

log = logging.getLogger(__name__)

# on the page that a run begins with: photos take a second for ten of them
_PICTURES_SHOWN = 200


def main(arguments: Sequence[str]) -> int:
    """Train by a recipe.

    Args:
        arguments: The command line after `sdtune fit`.

    Returns:
        The exit code: 0, or 128 and a signal's number if training was asked to stop and did.

    Raises:
        CallError: If the call, the recipe or the data is wrong; it lists every problem.
    """
    quiet_misleading_messages()
    return train(RecipeCLI(arguments), arguments)


def train(cli: RecipeCLI, arguments: Sequence[str]) -> int:
    """Train by a recipe that is built, with all that its run folder gets.

    Args:
        cli: The recipe.
        arguments: The call, which a run that is stopped is gone on with.

    Returns:
        The exit code, see `main`.
    """
    if cli.trainer.is_global_zero:
        show(*cli.notes)
    # a data module of another package may have none
    getattr(cli.datamodule, "survey_listeners", []).append(_write_contact_sheet)
    try:
        return _fit(cli)
    finally:
        if cli.trainer.is_global_zero and isinstance(cli.trainer.logger, TensorBoardLogger):
            _write_report(Path(cli.trainer.logger.log_dir))
            show(*_story(cli.trainer, cli.trainer.logger, arguments).split("\n"))


def _fit(cli: RecipeCLI) -> int:
    """Train; a signal is an exit code, and no error, whatever it made fail."""
    signals = [] if is_trial(cli.trainer) else _signals_of(cli.trainer)
    leave_signals()
    for each in signals:  # other processes are started and waited for before callbacks are called
        each.listen(cli.trainer)
    try:
        cli.fit()
        return 0
    except (Exception, SystemExit) as error:
        if isinstance(error, Stopped):
            number: int | None = error.number
            show(f"sdtune: {error}", file=sys.stderr)
            end_others(cli.trainer, patience=30.0)
        else:
            number = _signal_received(cli.trainer)
            if number is None and isinstance(error, SystemExit) and error.code == 1:
                number = signal.SIGINT  # Lightning's answer to Ctrl-C before the first step
        if number is not None:
            return 128 + number
        lost = lost_process(cli.trainer) if isinstance(error, RuntimeError) else None
        end_others(cli.trainer)
        if lost is not None:
            raise LostProcessError(lost) from error
        if isinstance(error, OSError) and error.errno and error.filename is None:
            # a full disk is told of without a name, such as by TensorBoard's writer
            raise OSError(error.errno, error.strerror, cli.trainer.log_dir) from error
        raise
    finally:
        for each in signals:
            each.leave()


def _signals_of(trainer: Trainer) -> list[StopSignals]:
    callbacks: list[object] = trainer.callbacks  # type: ignore[attr-defined]
    return [each.signals for each in callbacks if isinstance(each, ResumeCheckpoint)]


def _signal_received(trainer: Trainer) -> int | None:
    received = (each.received for each in _signals_of(trainer))
    return next((each for each in received if each is not None), None)


def _write_report(folder: Path) -> None:
    """Write the run's page; a page that fails must not hide how the run ended."""
    try:
        write_report(folder)
    except Exception as error:
        log.warning("The report of %s could not be written: %s", folder, error)


def _write_contact_sheet(survey: Any, folder: Path) -> None:
    """Write the page of the training pictures; training goes on whether or not it can be."""
    path = RunFolder(folder).contact_sheet
    try:
        write_contact_sheet(survey, path, most=_PICTURES_SHOWN)
    except Exception as error:
        log.warning("%s could not be written: %s", path, error)


def _story(trainer: Trainer, logger: TensorBoardLogger, arguments: Sequence[str]) -> str:
    """Word where the run's results are, how to use them, and how to go on if it was stopped."""
    folder = RunFolder(Path(os.path.relpath(logger.log_dir)))
    rows: dict[str, object] = {"run folder": folder.path}
    grids = list(by_step(folder.samples, ".png").values())
    if grids:
        rows["grid"] = grids[-1]
    if folder.adapter.is_dir():
        rows["adapter"] = folder.adapter
    if folder.report.is_file():
        rows["report"] = folder.report
    rows["curves"] = shlex.join(["tensorboard", "--logdir", os.path.relpath(logger.save_dir)])
    if trainer.state.status == TrainerStatus.INTERRUPTED and folder.checkpoints:
        given = [(name, value) for name, value in options(arguments) if name not in CALL_KEYS]
        words = [f"--{name}={value}" for name, value in given]
        rows["go on with"] = shlex.join(["sdtune", "fit", *words, f"--resume={folder.path}"])
    lines = [f"{name + ':':12} {value}" for name, value in rows.items()]
    return "\n".join(lines + _use(trainer, folder))


def _use(trainer: Trainer, run: RunFolder) -> list[str]:
    """Word how an adapter is drawn with, by a caption that it was trained on."""
    base = getattr(trainer.lightning_module, "base", None)
    captions: list[str] = getattr(getattr(trainer, "datamodule", None), "captions", list)()
    prompt = next(filter(None, captions), None)
    if base is None or prompt is None or not any(run.adapter.glob("*.safetensors")):
        return []
    command = shlex.join(["sdtune", "generate", str(run.path), "--prompt", prompt])
    base, path, prompt = (
        json.dumps(text, ensure_ascii=False) for text in (base, str(run.adapter), prompt)
    )
    return [
        f"draw:        {command}",
        "             or in Python, after `import sdtune`:",
        f"pipeline = sdtune.load_pipeline({base}, {path})",
        f'pipeline({prompt}).images[0].save("picture.png")',
    ]
