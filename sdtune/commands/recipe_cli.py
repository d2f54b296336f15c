"""A call of `fit` or `check`, parsed and built: what trains, or all that is wrong."""

import os
from argparse import ArgumentError
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path
from traceback import walk_tb
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, LearningRateMonitor
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

import sdtune
from sdtune.callbacks.hyperparameters import Hyperparameters
from sdtune.callbacks.resumed_recipe import check_recipe
from sdtune.commands.annotations import Seed, annotation_words
from sdtune.commands.building import (
    SaysWhatDiffers,
    attempt,
    build_classes,
    problems_together,
    refused_option,
)
from sdtune.commands.errors import CallError, on_one_line
from sdtune.commands.kept_results import keep_results
from sdtune.commands.problems import ROOT_TYPES, class_missing, diagnose, unchosen
from sdtune.commands.quick_imports import quick_imports
from sdtune.commands.quiet import quiet_devices, quiet_loader_advice
from sdtune.commands.recipe import CALL_KEYS, CLASS_KEYS, options, read_yaml
from sdtune.commands.recipe_classes import import_chosen
from sdtune.commands.recipe_parser import RecipeParser
from sdtune.commands.run_folder import DEFAULT_ROOT, Destination, choose_run_folder
from sdtune.commands.shipped_recipes import name_recipes
from sdtune.commands.trust import split_trust, trust
from sdtune.estimation.smaller import memory_advice
from sdtune.evaluation.technique import is_technique
from sdtune.files.regular_file import special_kind
from sdtune.run_folder.checkpoint_file import read_content
from sdtune.run_folder.run_lock import RunLock

__all__ = ["RecipeCLI", "built_recipe", "recipe_problems"]

_LIBRARIES = ("diffusers", "peft")
_ENDS = {"trainer.max_epochs", "trainer.max_steps", "trainer.max_time"}
_MEANT_FOR = {"accelerator": ("devices", "num_nodes", "strategy")}
_FLUSHED = 5  # seconds, not TensorBoard's two minutes: `sdtune watch` shows what is in its files


class RecipeCLI(LightningCLI):
    """The classes of a recipe, built and ready to train.

    Args:
        arguments: The command line, such as ["--config", "recipe.yaml", "--model.rank", "8"].
            Modules besides sdtune's own that the recipe may name classes of are named by `--trust`.
        build: Whether to build the classes; else `config` is all that there is.

    Attributes:
        run_folder: Where the run writes, and what it resumes.
        notes: What is done beside what the recipe says, a sentence each.

    Raises:
        CallError: With everything that is wrong with the call, the recipe or the data.
    """

    run_folder: Destination

    def __init__(self, arguments: Sequence[str], build: bool = True) -> None:
        self.arguments, modules = split_trust(name_recipes(arguments))
        trust(modules)
        self.build = build
        self.notes: list[str] = []
        self._problems: list[str] = []
        self._broken: set[str] = set()
        self._refused: set[str] = set()
        self._checkpoint: dict[str, Any] = {}
        super().__init__(
            model_class=LightningModule,
            datamodule_class=LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            parser_class=RecipeParser,
            parser_kwargs={
                "prog": "sdtune fit",
                "usage": "sdtune fit --config RECIPE.yaml [--key value ...]",
                "description": (
                    "Train by a recipe. `lightning run --help` is the short of it. `--trust MODULE`"
                    " lets the recipe name classes of a module of your own."
                ),
                "exit_on_error": False,
                "dump_header": [f"sdtune {sdtune.__version__}, torch {torch.__version__}"],
            },
            trainer_defaults={"default_root_dir": DEFAULT_ROOT},
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,  # `build_classes` sees to it
            run=False,
        )

    def fit(self) -> None:
        """Train, from the run folder's checkpoint if there is one.

        Raises:
            FileExistsError: If another process trains in the run's folder.
            ValueError: If the checkpoint is not one of this recipe, or damaged within.
        """
        if is_technique(self.model):
            with quick_imports():  # which the base's loading would do, slower
                for name in _LIBRARIES:
                    import_module(name)
        logger = self.trainer.logger
        if not self.trainer.is_global_zero or not isinstance(logger, TensorBoardLogger):
            self._fit()
            return
        lock = RunLock(Path(logger.log_dir))
        lock.acquire()  # before the recipe is written there
        try:
            self._fit()
        finally:
            lock.release()

    def _fit(self) -> None:
        checkpoint = self.run_folder.checkpoint
        try:
            self.trainer.fit(
                self.model, datamodule=self.datamodule, ckpt_path=checkpoint, weights_only=True
            )
        except torch.OutOfMemoryError as error:
            raise ValueError(self._memory_sentence()) from error
        except Exception as error:
            names_a_file = isinstance(error, OSError) and error.filename is not None
            is_told = isinstance(error, ValueError) or names_a_file
            if checkpoint is None or is_told or not _is_restoring(error):
                raise
            raise _not_of_this_recipe(checkpoint, error) from error

    def _memory_sentence(self) -> str:
        """Say what to do when the device's memory is used up."""
        recipe = {
            f"{part}.{name}": value
            for part in CLASS_KEYS
            for name, value in (self.config[part].get("init_args") or {}).items()
        }
        for name in ("precision", "accumulate_grad_batches"):
            recipe[f"trainer.{name}"] = self.config.trainer.get(name)
        return (
            f"The device's memory is used up. {memory_advice(recipe)} `sdtune estimate RECIPE "
            "--gpu SIZE` counts which of them fit. Checkpoints that were written stay, and "
            "`--resume` goes on from the last."
        )

    @property
    def left_out(self) -> Sequence[str]:
        """Keys that follow others, as `data.init_args.seed` may follow `seed`."""
        return self.parser.left_out if isinstance(self.parser, RecipeParser) else ()

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add what belongs to a run and to no class."""
        parser.add_argument(
            "--seed",
            type=ROOT_TYPES["seed"],
            default=42,
            help="Seed of everything random; model.seed and data.seed follow unless set.",
        )
        parser.add_argument(
            "--resume",
            type=ROOT_TYPES["resume"],
            nargs="?",
            const="last",
            help="Go on from a checkpoint or a run folder; `last` is the recipe's newest run.",
        )
        parser.add_argument(
            "--run",
            type=ROOT_TYPES["run"],
            help="Name of the run's folder, which must be new; by default the next version_N.",
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the command line, and hand the recipe's seed on to its model and its data."""
        if not isinstance(parser, RecipeParser):
            raise TypeError("Expected `parser_class` to be RecipeParser.")
        words = [word for word in self.arguments if not word.startswith("--print_config")]
        try:
            for file in _recipes(words):
                read_yaml(file)  # the parser would not end with one that unfolds without end
            self.config = parser.parse_args(words)
            given = parser.parse_args(words, defaults=False)
        except (ArgumentError, CallError) as error:
            found = diagnose(parser, words)
            self.config = found.config
            self._problems += found.problems
            self._broken |= found.broken
            self._refused = found.refused
            self._check_chosen()
            self._problems = self._problems or [on_one_line(error)]
            return
        self._check_chosen()
        # a class that sets no seed has none in `given`, which holds no defaults
        seeds = [f"{key}.init_args.seed" for key in CLASS_KEYS]
        following = [name for name in seeds if name in self.config and name not in given]
        parser.left_out = (*CALL_KEYS, *following)
        if words != self.arguments:
            parser.parse_args(self.arguments)  # prints the recipe and exits
        for name in following:
            self.config[name] = int(self.config.seed)

    def instantiate_classes(self) -> None:
        """Build the model, the data and the Trainer.

        Raises:
            CallError: With everything that is wrong.
        """
        if self.build:
            self._build()
        if self._problems:
            raise CallError(list(dict.fromkeys(self._problems)))

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the Trainer, which logs to the run folder unless the recipe says otherwise."""
        if type(self.datamodule).__module__.startswith("sdtune."):
            quiet_loader_advice()
        logger = self.config.trainer.logger
        chosen = self.config_init.trainer.get("callbacks")
        given = [] if chosen is None else [*chosen] if isinstance(chosen, list) else [chosen]
        kwargs["callbacks"] = given or None
        callbacks: list[Callback] = [Hyperparameters()]
        if logger is False:
            self.save_config_callback = None  # there is no run folder to save it to
        elif not any(isinstance(each, LearningRateMonitor) for each in given):
            callbacks.append(LearningRateMonitor())
        self.trainer_defaults["callbacks"] = callbacks
        if logger in (None, True):
            kwargs["logger"] = self._run_logger()
        trainer = super().instantiate_trainer(**kwargs)
        self.notes += keep_results(trainer, self.model)
        return trainer

    def _check_chosen(self) -> None:
        if "seed" in self.config and self.config.seed is None:  # the parser lets it pass
            self._problems.append(f"Expected `seed` to be {annotation_words(Seed)}, but got None.")
            self.config.seed = 0
        for key in unchosen(self.config):
            if key not in self._broken:
                self._problems.append(class_missing(key))
                self._broken.add(key)

    def _build(self) -> None:
        self._choose_run_folder()
        if self._problems:
            self.config_dump: dict[str, Any] = {}  # a recipe that is not whole cannot be dumped
        built = build_classes(self, self.config, self._broken)
        self._problems += built.problems
        self.config_init = built.config
        self.model, self.datamodule = (built.config[key] for key in CLASS_KEYS)
        with quiet_devices() if self._problems else nullcontext():
            trainer = self._build_trainer()
        self._problems += problems_together(
            self.model,
            self.datamodule,
            trainer,
            is_sound=not self._problems,
            model_class=import_chosen(self.config.get("model")),
        )
        if trainer is not None:
            self.trainer = trainer
            if not self._problems:
                attempt(lambda: self._check_checkpoint(trainer), self._problems)
            if not self._problems and isinstance(self.model, SaysWhatDiffers):
                self.notes += self.model.notes_with_trainer(trainer)

    def _check_checkpoint(self, trainer: Trainer) -> None:
        path = self.run_folder.checkpoint
        if path is not None and self._checkpoint:
            try:
                check_recipe(trainer, self.model, self.datamodule, self._checkpoint)
            except (AttributeError, KeyError, TypeError) as error:
                raise _not_of_this_recipe(path, error) from error

    def _build_trainer(self) -> Trainer | None:
        """Build the Trainer; without the options that are refused, so that it can be asked more."""
        options = self.config_init.get("trainer")
        if options is None:
            return None
        if self._refused & _ENDS:
            options.max_steps = 1  # nothing shall be said of an end that was refused
        while True:
            problems: list[str] = []
            trainer = attempt(self.instantiate_trainer, problems)
            self._problems += problems
            if trainer is not None:
                return trainer
            with quiet_devices():
                culprit = refused_option(options, problems, self.instantiate_trainer)
            if culprit is None:
                return None
            for name in (culprit, *_MEANT_FOR.get(culprit, ())):
                options.pop(name)

    def _choose_run_folder(self) -> None:
        recipes = _recipes(self.arguments)
        first_process = getattr(rank_zero_only, "rank", 0) == 0
        config = self.config.as_dict()
        self.run_folder = Destination(Path(DEFAULT_ROOT), "run")
        try:
            self.run_folder = choose_run_folder(config, recipes, first_process)
        except CallError as error:
            self._problems += error.problems
        self.notes += self.run_folder.notes
        checkpoint = self.run_folder.checkpoint
        if checkpoint is not None and not checkpoint.is_dir():  # else it is a strategy's to read
            content = read_content(checkpoint)
            if isinstance(content, str):
                self._problems.append(content)
            else:
                self._checkpoint = content
        self.save_config_kwargs = {"config_filename": self.run_folder.config_filename()}

    def _run_logger(self) -> TensorBoardLogger:
        folder = self.run_folder
        place = (folder.root, folder.name, folder.version)
        return TensorBoardLogger(*place, default_hp_metric=False, flush_secs=_FLUSHED)

    def _set_seed(self) -> None:
        seed_everything(self.config.seed, workers=True, verbose=False)


def _recipes(words: Sequence[str]) -> list[Path]:
    """List the recipes that a call names; it may also hold the text of one."""
    names = [value or "" for name, value in options(words) if name == "config"]
    paths = [Path(name) for name in names]
    return [each for each in paths if os.path.isfile(each) or special_kind(each)]


def _not_of_this_recipe(checkpoint: Path, error: Exception) -> ValueError:
    return ValueError(
        f"Expected {checkpoint} to be a checkpoint of this recipe, but it cannot be gone on from "
        f"({type(error).__name__}: {on_one_line(error)})."
    )


def _is_restoring(error: Exception) -> bool:
    """Tell whether an error is of reading a checkpoint, and not of training."""
    frames = [frame.f_code.co_name for frame, _ in walk_tb(error.__traceback__)]
    return "restore_training_state" in frames or "_restore_modules_and_callbacks" in frames


def recipe_problems(arguments: Sequence[str], build: bool = True) -> list[str]:
    """List everything that keeps a recipe from being trained by.

    Args:
        arguments: The command line after `sdtune fit`.
        build: Whether to build its classes; else only keys and types are checked.

    Returns:
        One sentence each.
    """
    return built_recipe(arguments, build)[1]


def built_recipe(
    arguments: Sequence[str], build: bool = True
) -> tuple[RecipeCLI | None, list[str]]:
    """Build what a recipe asks for, or find what is wrong with it.

    Args:
        arguments: The command line after `sdtune fit`.
        build: Whether to build its classes, see `recipe_problems`.

    Returns:
        What is built, None if something is wrong; and one sentence for each problem.
    """
    try:
        return RecipeCLI(arguments, build), []
    except CallError as error:
        return None, error.problems
