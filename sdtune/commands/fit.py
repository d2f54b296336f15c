"""`sdtune fit` and `lightning run`: train by a recipe, with Lightning's command line."""

import json
import logging
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, Namespace
from jsonargparse.typing import NonNegativeInt
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.cli import (
    ArgsType,
    LightningArgumentParser,
    LightningCLI,
)
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.trainer.states import TrainerStatus
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only

import sdtune
from sdtune.callbacks.hyperparameters import Hyperparameters
from sdtune.commands.errors import CallError
from sdtune.commands.problems import list_problems
from sdtune.commands.quiet import quiet_loader_advice, quiet_misleading_messages
from sdtune.commands.recipe import CALL_KEYS, CLASS_KEYS, options, read_recipe, recipe_paths
from sdtune.commands.run_folder import DEFAULT_ROOT, Destination, choose_run_folder
from sdtune.report.run_report import write_report
from sdtune.run_folder.layout import RunFolder, by_step

__all__ = ["FitCLI", "RecipeParser", "main"]

log = logging.getLogger(__name__)


class RecipeParser(LightningArgumentParser):
    """Lightning's parser, whose dumped recipe holds what a repetition needs and no more.

    Left out are `run` and `resume`, which belong to one call, and the seeds that follow the
    recipe's own: so that one override of `seed` moves all of them, in a dumped recipe too.
    """

    following_seeds: Sequence[str] = ()

    def dump(self, namespace: Namespace, *args: Any, **kwargs: Any) -> str:
        """Serialize a recipe, see `jsonargparse.ArgumentParser.dump`."""
        if kwargs.get("skip_link_targets", True):  # False asks for all that the classes receive
            namespace = namespace.clone()
            for key in (*CALL_KEYS, *self.following_seeds):
                namespace.pop(key, None)
        return super().dump(namespace, *args, **kwargs)


class FitCLI(LightningCLI):
    """The classes of a recipe, built and ready to train.

    Args:
        arguments: The command line, such as ["--config", "recipe.yaml", "--model.rank", "8"].
        run_folder: Where the run writes, and what it resumes.
        recipe: The merged recipe as `read_recipe` gives it, to know which seeds were set.
    """

    def __init__(
        self, arguments: Sequence[str], run_folder: Destination, recipe: dict[str, Any]
    ) -> None:
        self.arguments = list(arguments)
        self.run_folder = run_folder
        self.recipe = recipe
        super().__init__(
            model_class=LightningModule,
            datamodule_class=LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=RecipeParser,
            parser_kwargs={
                "prog": "sdtune fit",
                "description": "Train by a recipe: --config RECIPE.yaml [--key value ...].",
                "exit_on_error": False,
                "allow_abbrev": False,
                "dump_header": [f"sdtune {sdtune.__version__}, torch {torch.__version__}"],
            },
            save_config_kwargs={"config_filename": run_folder.config_filename()},
            trainer_defaults={"default_root_dir": DEFAULT_ROOT, "callbacks": [Hyperparameters()]},
            auto_configure_optimizers=False,
            run=False,
        )

    def fit(self) -> None:
        """Train, from the run folder's checkpoint if there is one."""
        self.trainer.fit(
            self.model,
            datamodule=self.datamodule,
            ckpt_path=self.run_folder.checkpoint,
            weights_only=True,
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to a run and to no class."""
        parser.add_argument(
            "--seed",
            type=NonNegativeInt,
            default=42,
            help="Seed of everything random; model.seed and data.seed follow unless set.",
        )
        parser.add_argument(
            "--resume",
            type=str | None,
            nargs="?",
            const="last",
            help="Go on from a checkpoint or a run folder; `last` is the recipe's newest run.",
        )
        parser.add_argument(
            "--run",
            type=str | None,
            help="Name of the run's folder, which must be new; by default the next version_N.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line, and hand the recipe's seed on to its model and its data."""
        following = [f"{key}.init_args.seed" for key in CLASS_KEYS if not self._sets_seed(key)]
        if isinstance(parser, RecipeParser):
            parser.following_seeds = following
        self.config = parser.parse_args(self.arguments)
        for name in following:
            if name in self.config:
                self.config[name] = int(self.config.seed)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the Trainer, which logs to the run folder unless the recipe says otherwise."""
        if type(self.datamodule).__module__.startswith("sdtune."):
            quiet_loader_advice()
        logger = self.config.trainer.logger
        if logger is False:
            self.save_config_callback = None  # there is no run folder to save it to
        else:
            self.trainer_defaults["callbacks"].append(LearningRateMonitor())
        if logger in (None, True):
            kwargs["logger"] = self._run_logger()
        return super().instantiate_trainer(**kwargs)

    def _sets_seed(self, key: str) -> bool:
        value = self.recipe.get(key)
        if not isinstance(value, dict):
            return False
        return "seed" in {**value.get("inherited", {}), **(value.get("init_args") or {})}

    def _run_logger(self) -> TensorBoardLogger:
        folder = self.run_folder
        return TensorBoardLogger(folder.root, folder.name, folder.version, default_hp_metric=False)

    def _set_seed(self) -> None:
        seed_everything(self.config.seed, workers=True, verbose=False)


def main(arguments: Sequence[str]) -> int:
    """Train by a recipe.

    Args:
        arguments: The command line after `sdtune fit`.

    Returns:
        The exit code, 0.

    Raises:
        CallError: If the call, the recipe or the data is wrong; it lists every problem.
    """
    quiet_misleading_messages()
    names = {name for name, _ in options(arguments)}
    if any(name in ("h", "help") or name.endswith(".help") for name in names):
        FitCLI(arguments, Destination(Path(DEFAULT_ROOT), "run"), recipe={})  # shows it and exits
    recipe = read_recipe(arguments)
    problems = list_problems(recipe, build="print_config" not in names)
    try:
        first_process = getattr(rank_zero_only, "rank", 0) == 0
        run_folder = choose_run_folder(recipe, recipe_paths(arguments), first_process)
    except CallError as error:
        problems += error.problems
    if problems:
        raise CallError(problems)
    try:
        cli = FitCLI(arguments, run_folder, recipe)
    except (ArgumentError, ImportError, MisconfigurationException, OSError, ValueError) as error:
        raise CallError([" ".join(str(error).split())]) from error
    try:
        cli.fit()
    finally:
        if cli.trainer.is_global_zero and isinstance(cli.trainer.logger, TensorBoardLogger):
            _write_report(Path(cli.trainer.logger.log_dir))
            print(_story(cli.trainer, cli.trainer.logger, arguments))
    return 0


def _write_report(folder: Path) -> None:
    """Write the run's page; a page that fails must not hide how the run ended."""
    try:
        write_report(folder)
    except Exception as error:
        log.warning("The report of %s could not be written: %s", folder, error)


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
    rows["curves"] = f"tensorboard --logdir {os.path.relpath(logger.save_dir)}"
    if trainer.state.status == TrainerStatus.INTERRUPTED and folder.checkpoint.is_file():
        given = [(name, value) for name, value in options(arguments) if name not in CALL_KEYS]
        words = [f"--{name}={value}" for name, value in given]
        rows["go on with"] = shlex.join(["sdtune", "fit", *words, f"--resume={folder.path}"])
    lines = [f"{name + ':':12} {value}" for name, value in rows.items()]
    return "\n".join(lines + _two_lines(trainer, folder.adapter))


def _two_lines(trainer: Trainer, folder: Path) -> list[str]:
    """Word the lines of Python that draw with an adapter, by a caption that it was trained on."""
    base = getattr(trainer.lightning_module, "base", None)
    captions: list[str] = getattr(getattr(trainer, "datamodule", None), "captions", list)()
    prompt = next(filter(None, captions), None)
    if base is None or prompt is None or not any(folder.glob("*.safetensors")):
        return []
    base, path, prompt = (
        json.dumps(text, ensure_ascii=False) for text in (base, str(folder), prompt)
    )
    return [
        "to use it:   in Python, after `import sdtune`:",
        f"pipeline = sdtune.load_pipeline({base}, {path})",
        f'pipeline({prompt}).images[0].save("picture.png")',
    ]
