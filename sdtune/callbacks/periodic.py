"""When to look at a run: every so many optimizer steps, or whenever the trainer validates."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn

from sdtune._checks import check_positive
from sdtune._resumed_checkpoint import (
    forget_resumed,
    is_resumed_within,
    note_resumed,
    resumed_checkpoint,
)
from sdtune.evaluation.technique import Technique, WatchesNumbers, as_technique
from sdtune.evaluation.whole_model import refuse_sharded_model, sharding_problems
from sdtune.run_folder.fresh_folder import refuse_used_folder

__all__ = [
    "PeriodicCallback",
    "begins_anew",
    "begins_to_write",
    "goes_elsewhere",
    "is_trial",
    "resumed_run",
]


def is_trial(trainer: Trainer) -> bool:
    """Tell whether this is a `fast_dev_run`, which shall leave no files.

    Args:
        trainer: The trainer.

    Returns:
        Whether `fast_dev_run` is set.
    """
    return bool(trainer.fast_dev_run)  # type: ignore[attr-defined]


def begins_anew(trainer: Trainer) -> bool:
    """Tell whether a fit is of another run than the one before, of which callbacks still know.

    A list of callbacks may be made once, and be given to one Trainer after another. A Trainer
    that fits once more goes on with the same run, unless it then loads another one's checkpoint.

    Args:
        trainer: The trainer, in `setup`: a checkpoint is loaded after it.

    Returns:
        Whether nothing that callbacks remember of an earlier fit belongs to this one.
    """
    return trainer.global_step == 0


def begins_to_write(trainer: Trainer) -> bool:
    """Tell whether this process begins a run's files: then nobody else's may be there.

    Called before the first step, when it is known whether a checkpoint has been loaded.

    Args:
        trainer: The trainer.

    Returns:
        Whether it is the first process of a run that is no trial, and goes on with nothing.
    """
    is_resumed = resumed_checkpoint(trainer) is not None or trainer.global_step > 0
    return trainer.is_global_zero and not is_resumed and not is_trial(trainer)


def goes_elsewhere(trainer: Trainer, run: Path) -> bool:
    """Tell whether a run is resumed in another folder than its own, where others' files may be.

    Called when a checkpoint is loaded, before any callback writes something.

    Args:
        trainer: The trainer.
        run: The folder.

    Returns:
        Whether this is the first process of such a run, and no trial.
    """
    is_fit = trainer.state.fn == TrainerFn.FITTING and not is_trial(trainer)
    return trainer.is_global_zero and is_fit and not is_resumed_within(trainer, run)


def resumed_run(trainer: Trainer) -> Path | None:
    """Find the run folder that a run goes on from: the one that its checkpoint lies in.

    What a checkpoint itself says of folders is not believed, for it may be a stranger's.

    Args:
        trainer: The trainer.

    Returns:
        The folder; None if nothing is resumed.
    """
    path = resumed_checkpoint(trainer)
    return None if path is None else path.resolve().parent.parent


class PeriodicCallback(Callback):
    """Call `at_step` at regular optimizer steps and once more when training ends.

    A step is visited once, however many batches are accumulated in it and whatever triggers
    fall on it. Nothing happens in a `fast_dev_run`, as with Lightning's checkpoints. A run that is
    resumed makes up for the last step if it was killed before that was visited.

    A subclass names its folder inside the run folder, which must be empty when a run begins.

    Args:
        every_n_steps: Optimizer steps between two visits. None for after each validation, or
            each epoch if there is no validation.

    Raises:
        ValueError: If `every_n_steps` is not positive.
    """

    folder_name: ClassVar[str]

    def __init__(self, every_n_steps: int | None = None) -> None:
        super().__init__()
        check_positive("every_n_steps", every_n_steps, of="integer or None")
        self.every_n_steps = every_n_steps
        self.folder = Path(self.folder_name)
        self._resumed_run: Path | None = None
        self._last_step: int | None = None
        self._has_started = False
        self._is_in_doubt = False

    def at_step(self, trainer: Trainer, technique: Technique, step: int) -> None:
        """Do what the callback is for. Called on every rank.

        Args:
            trainer: The trainer.
            technique: The module in training.
            step: Optimizer steps taken so far.
        """
        raise NotImplementedError

    def has(self, step: int) -> bool:
        """Tell whether all is there that a visit of a step makes. Called on every rank.

        Args:
            step: Optimizer steps that a checkpoint was resumed from.

        Returns:
            Whether it is; the answer of the first rank counts. Always no, unless a subclass can
            tell: then the step is visited anew.
        """
        return False

    def problems_with_trainer(self, trainer: Trainer) -> list[str]:
        """List what keeps this callback from being used with a Trainer.

        Args:
            trainer: The trainer, before it has started anything.

        Returns:
            One sentence each.
        """
        return sharding_problems(trainer, type(self).__name__)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Check the module and how it is spread, and learn the run folder.

        Raises:
            TypeError: If the module is no technique.
            ValueError: If the strategy splits the model up.
        """
        as_technique(pl_module)
        refuse_sharded_model(trainer, type(self).__name__)
        self._has_started = False
        if stage == "fit" and begins_anew(trainer):
            self._last_step = self._resumed_run = None
        forget_resumed(trainer)
        # a collective call, so it is made here, where all ranks are
        self.folder = Path(trainer.log_dir or trainer.default_root_dir) / self.folder_name

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note what is resumed, before a finder goes back to a file of its own.

        Raises:
            FileExistsError: If the folder is of another run than that.
        """
        note_resumed(trainer, checkpoint)
        if goes_elsewhere(trainer, self.folder.parent):
            refuse_used_folder(self.folder)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the step that training starts or resumes from as visited, if it has been."""
        if begins_to_write(trainer):
            refuse_used_folder(self.folder)
        self._resumed_run = resumed_run(trainer)
        self._last_step = trainer.global_step
        self._has_started = True
        # a run may have been killed when it had kept the checkpoint of a step and no more
        self._is_in_doubt = resumed_checkpoint(trainer) is not None
        if self.every_n_steps is None and trainer.val_dataloaders is None:
            # as the trainer does it: only then is it known whether there is anything to validate
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.setup_data()
            trainer.training = True

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Visit every n-th step."""
        if self.every_n_steps is not None and trainer.global_step % self.every_n_steps == 0:
            self._visit(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Visit each validation, if no interval is given."""
        if self.every_n_steps is None and not trainer.sanity_checking:
            self._visit(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Visit each epoch, if no interval is given and nothing is validated."""
        is_validated = trainer.enable_validation and sum(trainer.num_val_batches) > 0
        if self.every_n_steps is None and not is_validated:
            self._visit(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Visit the last step."""
        self._visit(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Make up for what is missing of a run that was resumed when it had no step left.

        Lightning then skips training, and with it the hooks above.
        """
        if self._has_started or resumed_checkpoint(trainer) is None:
            return
        home = pl_module.device
        pl_module.to(trainer.strategy.root_device)  # Lightning has put it away
        self.on_train_start(trainer, pl_module)
        self.on_train_end(trainer, pl_module)
        pl_module.to(home)

    def _visit(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step
        if trainer.state.fn != TrainerFn.FITTING or self._is_visited(trainer, step):
            return
        if isinstance(pl_module, WatchesNumbers):
            pl_module.check_numbers()
        self._last_step, self._is_in_doubt = step, False
        if not is_trial(trainer):
            self.at_step(trainer, as_technique(pl_module), step)

    def _is_visited(self, trainer: Trainer, step: int) -> bool:
        if step != self._last_step:
            return False
        # every rank must take the same way, and not each may see the files
        return not self._is_in_doubt or bool(trainer.strategy.broadcast(self.has(step)))
